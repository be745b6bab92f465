package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// firewalld reports whether firewalld has a say here: its table is among the rules of this network namespace, or its unit runs on the
// machine below root (which may have it write by iptables). CNI's plugin then puts the container's addresses into its trusted zone, as
// nothing that iptables accepts gets past it. To ask firewall-cmd starts Python.
func firewalld(root string) bool {
	if hasTable("firewalld") {
		return true
	}
	for _, hierarchy := range []string{"", "systemd", "unified"} {
		procs, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", hierarchy, "system.slice/firewalld.service/cgroup.procs"))
		if err == nil && len(bytes.TrimSpace(procs)) > 0 {
			return true
		}
	}
	return false
}

// Of nftables' messages (linux/netfilter/nf_tables.h).
const (
	tableGet  = unix.NFNL_SUBSYS_NFTABLES<<8 | 1 // NFT_MSG_GETTABLE
	tableName = 1                                // NFTA_TABLE_NAME
)

// hasTable asks the kernel whether this network namespace has a table of nftables of the family inet.
func hasTable(name string) bool {
	value := append([]byte(name), 0)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.NLA_HDRLEN+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, tableName), value...)
	b = append(b, make([]byte, (4-len(b)%4)%4)...)
	found, err := talk(request(tableGet, unix.NLM_F_ACK, unix.NFPROTO_INET, b))
	return err == nil && len(found) > 0
}

// trust puts the containers' addresses into firewalld's zone again, which forgets them when it is reloaded: CNI's plugin firewall is
// called as at the beginning (CNI 1.0.0, section 2), and does nothing for addresses that are there.
func trust(ctx context.Context, all []network.Entry) error {
	var failed []error
	for _, e := range all {
		if !e.Ready {
			continue
		}
		for i, l := range e.Links {
			if l.Bridged() {
				failed = append(failed, trustOne(ctx, e, i, l))
			}
		}
	}
	return errors.Join(failed...)
}

func trustOne(ctx context.Context, e network.Entry, i int, l network.Link) error {
	program := plugin("firewall")
	if program == "" {
		return errors.New("firewalld is active, and CNI's plugin firewall is not installed")
	}
	var ips []map[string]any
	for _, ip := range l.IPs {
		a, err := netip.ParseAddr(ip)
		if err != nil {
			return err
		}
		ips = append(ips, map[string]any{"address": netip.PrefixFrom(a, a.BitLen()).String(), "interface": 0})
	}
	text, err := json.Marshal(map[string]any{"cniVersion": network.CNIVersion, "name": l.Bridge, "type": "firewall", "backend": "firewalld",
		"prevResult": map[string]any{"cniVersion": network.CNIVersion, "interfaces": []map[string]any{{"name": network.Interface(i), "sandbox": "/"}}, "ips": ips}})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdin = bytes.NewReader(text)
	cmd.Env = append(cmd.Environ(), "CNI_COMMAND=ADD", "CNI_CONTAINERID="+Key{e.Namespace, e.ID}.name(), "CNI_NETNS=/", "CNI_IFNAME="+network.Interface(i), "CNI_PATH="+program)
	if out, err := cmd.Output(); err != nil {
		return fmt.Errorf("let container %s through firewalld: %w: %s", e.ID, err, out)
	}
	return nil
}
