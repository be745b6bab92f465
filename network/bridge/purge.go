package bridge

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"hostrun.dev/hostrun/network"
)

// purge removes the rules that CNI's bridge has made for masquerading, by the container's ID in their comments: without the
// network namespace the plugin itself no longer finds them.
func purge(ctx context.Context, e network.Entry) error {
	var failed []error
	for _, program := range []string{"iptables", "ip6tables"} {
		saved, err := exec.CommandContext(ctx, program+"-save", "-t", "nat").Output()
		if err != nil {
			continue // no such table, no such program: nothing was set there
		}
		if text := purging(string(saved), Key{e.Namespace, e.ID}.name()); text != "" {
			failed = append(failed, restore(ctx, program, text))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("remove the masquerading of container %s: %w", e.ID, err)
	}
	return nil
}

// purging turns `iptables-save` into what iptables-restore removes of the container: jumps with its ID in the comment, which
// the plugins write as: name: "NETWORK" id: "ID".
func purging(saved, id string) string {
	mark := `id: \"` + id + `\"`
	var rules, chains []string
	for _, line := range strings.Split(saved, "\n") {
		rest, ok := strings.CutPrefix(line, "-A ")
		if !ok || !strings.Contains(line, mark) {
			continue
		}
		from, _, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(from, "CNI-") && from != "CNI-HOSTPORT-DNAT" {
			continue // goes with its chain
		}
		rules = append(rules, "-D "+rest)
		if _, to, ok := strings.Cut(line, " -j CNI-"); ok {
			to, _, _ = strings.Cut(to, " ")
			chains = append(chains, "CNI-"+to)
		}
	}
	if rules == nil {
		return ""
	}
	text := "*nat\n" + strings.Join(rules, "\n") + "\n"
	for i, c := range chains {
		if i == 0 || chains[i-1] != c {
			text += "-F " + c + "\n-X " + c + "\n"
		}
	}
	return text + "COMMIT\n"
}
