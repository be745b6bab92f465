package profiles

import (
	"fmt"
	"sort"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// TestShortPortsAsCompose holds the short form against compose's own reader, which has an entry for each port.
func TestShortPortsAsCompose(t *testing.T) {
	for _, s := range []string{"80", "8080:80", "127.0.0.1:8001:8001", "127.0.0.1::9000", "3000-3002", "8000-8003:8000-8003", "9000-9010:9000",
		"127.0.0.1:5000-5002:6000-6002", "53:53/udp", "53-54:53-54/udp", "[::1]:6060:6060", "132:132/sctp", "0.0.0.0:1:1", ":80",
		"127.0.0.1:8000-8010:80", "[::1]::80", "[::]:80:80/UDP"} {
		p, err := loadText(t, "image: a\nports: [\""+s+"\"]\n")
		must(t, err)
		want, err := types.ParsePortConfig(s)
		must(t, err)
		var wanted []string
		for _, w := range want {
			ip := w.HostIP
			if ip == "" {
				ip = "any"
			}
			wanted = append(wanted, fmt.Sprintf("%s %s %d/%s", ip, w.Published, w.Target, w.Protocol))
		}
		sort.Strings(wanted)
		if diff := cmp.Diff(wanted, asCompose(p.Ports[0])); diff != "" {
			t.Errorf("%s (-compose +ours): %s", s, diff)
		}
	}
}

// TestPortsThatAreLeftOpen: docker takes 0 for any port too, and compose an empty value, as of a variable that is not set.
func TestPortsThatAreLeftOpen(t *testing.T) {
	for _, s := range []string{`"0:80"`, `{target: 80, published: 0}`, `{target: 80, published: "0", host_ip: ""}`, `{target: 80, published: ""}`} {
		p, err := loadText(t, "image: a\nports: ["+s+"]\n")
		must(t, err)
		if got := p.Ports[0]; got.First != 0 || got.Last != 0 || got.Target != 80 || got.HostIP != "" || got.Protocol != "tcp" {
			t.Errorf("%s: %+v", s, got)
		}
	}
}

// asCompose is an entry as compose shows it.
func asCompose(p Port) []string {
	ip := p.HostIP
	if ip == "" {
		ip = "any"
	}
	last := max(p.End, p.Target)
	var all []string
	for target := int(p.Target); target <= int(last); target++ {
		published := ""
		switch {
		case p.First == 0:
		case last > p.Target || p.First == p.Last:
			published = fmt.Sprint(int(p.First) + target - int(p.Target))
		default:
			published = fmt.Sprintf("%d-%d", p.First, p.Last)
		}
		all = append(all, fmt.Sprintf("%s %s %d/%s", ip, published, target, p.Protocol))
	}
	sort.Strings(all)
	return all
}
