package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hostrun.dev/hostrun/network"
)

// chain is the bridge's own in the table filter: one jump from FORWARD leads there, so that one name removes it.
func chain(bridge string) string {
	return "HOSTRUN-" + strings.TrimPrefix(bridge, network.BridgePrefix)
}

// rules let through what a network is for and nothing else: containers reach each other and out, answers come back, published
// ports are reached. Docker sets the policy of FORWARD to DROP, which is why all of it is said. Two networks do not reach each
// other but by published ports, and an internal one reaches nothing outside.
func rules(l network.Link) string {
	c, br := chain(l.Bridge), l.Bridge
	lines := []string{"*filter", ":" + c + " - [0:0]",
		"-A " + c + " -i " + br + " -o " + br + " -j ACCEPT"}
	if l.Internal {
		lines = append(lines, "-A "+c+" -i "+br+" -j DROP")
	} else {
		lines = append(lines,
			"-A "+c+" -o "+br+" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			"-A "+c+" -o "+br+" -m conntrack --ctstate DNAT -j ACCEPT",
			"-A "+c+" -i "+br+" ! -o "+network.BridgePrefix+"+ -j ACCEPT")
	}
	lines = append(lines, "-A "+c+" -o "+br+" -j DROP", "-I FORWARD 1 -j "+c, "COMMIT")
	return strings.Join(lines, "\n") + "\n"
}

func removal(bridge string) string {
	c := chain(bridge)
	return "*filter\n-D FORWARD -j " + c + "\n-F " + c + "\n-X " + c + "\nCOMMIT\n"
}

// families are the programs that set the rules of a link's subnets.
func families(l network.Link) []string {
	programs := []string{"iptables"}
	if slices.ContainsFunc(l.Subnets, func(s network.Subnet) bool { return strings.Contains(s.Subnet, ":") }) {
		programs = append(programs, "ip6tables")
	}
	return programs
}

// allow sets the rules of a network, anew if they are there.
func allow(ctx context.Context, l network.Link) error {
	for _, program := range families(l) {
		_ = restore(ctx, program, removal(l.Bridge)) // there is nothing to remove as a rule
		if err := restore(ctx, program, rules(l)); err != nil {
			return fmt.Errorf("set the firewall's rules of the network %s: %w", l.Network, err)
		}
	}
	return nil
}

// disallow removes them. Without the program nothing was set.
func disallow(ctx context.Context, l network.Link) error {
	for _, program := range families(l) {
		err := restore(ctx, program, removal(l.Bridge))
		if err != nil && present(ctx, program, chain(l.Bridge)) {
			return fmt.Errorf("remove the firewall's rules of the network %s: %w", l.Network, err)
		}
	}
	return nil
}

func present(ctx context.Context, program, chain string) bool {
	return exec.CommandContext(ctx, program, "-w", "-n", "-L", chain).Run() == nil
}

// restore hands rules to iptables-restore, which sets all of them or none.
func restore(ctx context.Context, program, text string) error {
	cmd := exec.CommandContext(ctx, program+"-restore", "--noflush", "-w")
	cmd.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s-restore: %s", program, strings.TrimSpace(said.String()))
	}
	return err
}

// firewalld reports whether firewalld manages the machine below root, by its unit's cgroup: CNI's plugin then puts the
// container's addresses into its trusted zone, as nothing that iptables accepts gets past it. To ask firewall-cmd starts Python.
func firewalld(root string) bool {
	for _, hierarchy := range []string{"", "systemd", "unified"} {
		procs, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", hierarchy, "system.slice/firewalld.service/cgroup.procs"))
		if err == nil && len(bytes.TrimSpace(procs)) > 0 {
			return true
		}
	}
	return false
}
