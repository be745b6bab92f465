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

// A firewall is one of the sets of rules that a packet passes: IPv4's and IPv6's, each perhaps in nftables and in the older
// tables beside (iptables-legacy(8)). What one of them drops is gone, whatever the other says.
type firewall struct {
	save, restore string // programs
	v6            bool
	beside        bool // the other kind than iptables is here: only what must not be dropped is said there too
}

// firewalls are those that a network with these subnets has rules in.
func firewalls(subnets []network.Subnet) []firewall {
	findPrograms()
	var all []firewall
	for _, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(subnets, func(s network.Subnet) bool { return strings.Contains(s.Subnet, ":") == v6 }) {
			continue
		}
		name, names := "iptables", "/proc/net/ip_tables_names"
		if v6 {
			name, names = "ip6tables", "/proc/net/ip6_tables_names"
		}
		all = append(all, firewall{save: name + "-save", restore: name + "-restore", v6: v6})
		if other := otherKind(name, names); other != "" {
			all = append(all, firewall{save: other + "-save", restore: other + "-restore", v6: v6, beside: true})
		}
	}
	return all
}

// otherKind is the kind of iptables that is not behind that name, if it may have rules: "iptables-legacy". The older tables are
// named in a file once somebody has made them; to ask iptables-legacy itself would make them.
func otherKind(name, tables string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	other := name + "-nft"
	if strings.Contains(filepath.Base(path), "nft") {
		text, _ := os.ReadFile(tables)
		if !slices.Contains(strings.Fields(string(text)), "filter") {
			return ""
		}
		other = name + "-legacy"
	}
	if _, err := exec.LookPath(other + "-restore"); err != nil {
		return ""
	}
	return other
}

// of leaves the chains that the firewall has.
func (f firewall) of(chains []ruleChain, saved string) []ruleChain {
	if !f.beside {
		return chains
	}
	if !strings.Contains(tableOf(saved, "filter"), "\n:FORWARD ") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(chains), func(c ruleChain) bool { return c.table != "filter" })
}

// saved are the rules as they are. A firewall beside that can't be read says nothing.
func (f firewall) saved(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, f.save)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil && !f.beside {
		return "", fmt.Errorf("%s: %w: %s", f.save, err, strings.TrimSpace(said.String()))
	}
	return string(text), nil
}

// attempts to change the rules: somebody else may change them between our look and our change.
const attempts = 3

// change looks at the rules, and hands what text makes of them to iptables-restore, which does all of a table or nothing; "" is
// nothing to do.
func (f firewall) change(ctx context.Context, text func(saved string) string) (changed bool, err error) {
	for range attempts {
		saved, err2 := f.saved(ctx)
		if err2 != nil {
			return changed, err2
		}
		rules := text(saved)
		if rules == "" {
			return changed, nil
		}
		if err = f.put(ctx, rules); err == nil {
			return true, nil
		}
	}
	return changed, err
}

func (f firewall) put(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, f.restore, "--noflush", "-w")
	cmd.Stdin = strings.NewReader(rules)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %s", f.restore, strings.TrimSpace(said.String()))
	}
	return err
}

// allow sets the chains of a network, anew if they are there.
func allow(ctx context.Context, l network.Link) error {
	for _, f := range firewalls(l.Subnets) {
		_, err := f.change(ctx, func(saved string) string {
			chains := f.of(networkChains(l, f.v6), saved)
			return setting(saved, chains)
		})
		if err != nil {
			return fmt.Errorf("set the firewall's rules of the network %s: %w", l.Network, err)
		}
	}
	return nil
}

// disallow removes them. Without the program nothing was set.
func disallow(ctx context.Context, l network.Link) error {
	err := remove(ctx, l.Subnets, func(v6 bool) []ruleChain { return networkChains(l, v6) })
	if err != nil {
		return fmt.Errorf("remove the firewall's rules of the network %s: %w", l.Network, err)
	}
	return nil
}

func remove(ctx context.Context, subnets []network.Subnet, chains func(v6 bool) []ruleChain) error {
	for _, f := range firewalls(subnets) {
		_, err := f.change(ctx, func(saved string) string { return removal(saved, f.of(chains(f.v6), saved)) })
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			return err
		}
	}
	return nil
}

// publish sets the rules of the container's ports.
func publish(ctx context.Context, e network.Entry) error {
	if len(e.Bindings) == 0 {
		return nil
	}
	l := e.Links[0]
	for _, f := range firewalls(l.Subnets) {
		if f.beside {
			continue
		}
		if _, err := f.change(ctx, func(saved string) string { return setting(saved, portChains(e, f.v6)) }); err != nil {
			return fmt.Errorf("publish the ports of container %s: %w", e.ID, err)
		}
	}
	if err := forwardLoopback(l.Bridge); err != nil {
		return fmt.Errorf("publish the ports of container %s at the loopback interface: %w", e.ID, err)
	}
	forgetFlows(e.Bindings)
	return nil
}

// unpublish removes them.
func unpublish(ctx context.Context, e network.Entry) error {
	if len(e.Bindings) == 0 {
		return nil
	}
	c := ruleChain{table: "nat", name: portChain(e)}
	err := remove(ctx, e.Links[0].Subnets, func(v6 bool) []ruleChain {
		c.jumps = portJumps(v6)
		return []ruleChain{c}
	})
	if err != nil {
		return fmt.Errorf("take back the ports of container %s: %w", e.ID, err)
	}
	forgetFlows(e.Bindings)
	return nil
}

// forwardLoopback lets packets from 127.0.0.1 leave by the bridge (Documentation/networking/ip-sysctl.rst, route_localnet): local
// programs reach published ports at localhost too.
func forwardLoopback(bridge string) error {
	return os.WriteFile("/proc/sys/net/ipv4/conf/"+bridge+"/route_localnet", []byte("1"), 0)
}
