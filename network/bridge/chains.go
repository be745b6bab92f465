package bridge

import (
	"fmt"
	"hash/fnv"
	"strings"

	"hostrun.dev/hostrun/network"
)

// A ruleChain is a chain of iptables that is hostrun's alone, and the rules of the kernel's own chains that lead to it. One name
// removes it, and it is set again by itself when somebody has flushed it.
type ruleChain struct {
	table, name string
	rules       []string // without "-A NAME"
	jumps       []jump
}

// A jump leads to a chain from the beginning of one of the kernel's.
type jump struct{ from, match string }

func (c ruleChain) jumpRule(j jump) string {
	words := j.from
	if j.match != "" {
		words += " " + j.match
	}
	return words + " -j " + c.name
}

// chain is the name of the bridge's chains, in the tables filter and nat.
func chain(bridge string) string {
	return "HOSTRUN-" + strings.TrimPrefix(bridge, network.BridgePrefix)
}

// networkChains let through what a network is for and nothing else: containers reach each other and out, answers come back,
// published ports are reached. Docker sets the policy of FORWARD to DROP, which is why all of it is said. Two networks do not reach
// each other but by published ports, and an internal one reaches nothing outside. What leaves for elsewhere has the host's address;
// so has what the host's loopback interface or a container of the network sends to a port that the host publishes for one of its
// containers, for the answer must come back by the way that translates it.
func networkChains(l network.Link, v6 bool) []ruleChain {
	br := l.Bridge
	filter := ruleChain{table: "filter", name: chain(br), jumps: []jump{{from: "FORWARD"}}}
	filter.rules = append(filter.rules, "-i "+br+" -o "+br+" -j ACCEPT")
	nat := ruleChain{table: "nat", name: chain(br), jumps: []jump{{from: "POSTROUTING"}}}
	if l.Internal {
		filter.rules = append(filter.rules, "-i "+br+" -j DROP")
	} else {
		filter.rules = append(filter.rules,
			"-o "+br+" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			"-o "+br+" -m conntrack --ctstate DNAT -j ACCEPT",
			"-i "+br+" ! -o "+network.BridgePrefix+"+ -j ACCEPT")
	}
	filter.rules = append(filter.rules, "-o "+br+" -j DROP")
	for _, s := range l.Subnets {
		if strings.Contains(s.Subnet, ":") != v6 {
			continue
		}
		if !l.Internal {
			except := "! -d 224.0.0.0/4 "
			if v6 {
				except = "! -d ff00::/8 "
			}
			nat.rules = append(nat.rules, "-s "+s.Subnet+" "+except+"! -o "+br+" -j MASQUERADE")
		}
		nat.rules = append(nat.rules, "-s "+s.Subnet+" -o "+br+" -m conntrack --ctstate DNAT -j MASQUERADE")
	}
	if !v6 {
		nat.rules = append(nat.rules, "-s 127.0.0.0/8 -o "+br+" -j MASQUERADE")
	}
	return []ruleChain{filter, nat}
}

// portChains lead to the container what is sent to its published ports. ::1 is left to the relay: the kernel forwards nothing from
// there (RFC 4291, 2.5.3).
func portChains(e network.Entry, v6 bool) []ruleChain {
	to := target(e, v6)
	if to == "" {
		return nil
	}
	c := ruleChain{table: "nat", name: portChain(e), jumps: portJumps(v6)}
	if v6 {
		to = "[" + to + "]"
	}
	for _, b := range e.Bindings {
		rule := "-p " + b.Protocol
		switch ip := b.Listens(); {
		case len(ip) == 1 && (ip[0].Is6() != v6 || v6 && ip[0].IsLoopback()):
			continue
		case len(ip) == 1 && !ip[0].IsUnspecified():
			rule = "-d " + ip[0].String() + "/" + fmt.Sprint(ip[0].BitLen()) + " " + rule
		}
		c.rules = append(c.rules, fmt.Sprintf("%s -m %s --dport %d -j DNAT --to-destination %s:%d", rule, b.Protocol, b.HostPort, to, b.Port))
	}
	if c.rules == nil {
		return nil
	}
	return []ruleChain{c}
}

func portJumps(v6 bool) []jump {
	local := "-m addrtype --dst-type LOCAL"
	if v6 {
		return []jump{{"PREROUTING", local}, {"OUTPUT", "! -d ::1/128 " + local}}
	}
	return []jump{{"PREROUTING", local}, {"OUTPUT", local}}
}

// portChain is the name of the container's chain.
func portChain(e network.Entry) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(Key{e.Namespace, e.ID}.name() + "\x00" + e.Links[0].Bridge))
	return fmt.Sprintf("HOSTRUN-P-%08x", h.Sum32())
}

// target is the container's address of a family that its ports lead to; "" for none.
func target(e network.Entry, v6 bool) string {
	if len(e.Links) == 0 {
		return ""
	}
	for _, ip := range e.Links[0].IPs {
		if strings.Contains(ip, ":") == v6 {
			return ip
		}
	}
	return ""
}

// setting is what iptables-restore makes the chains of, whatever of them is in saved already.
func setting(saved string, chains []ruleChain) string {
	return byTable(chains, func(b *strings.Builder, c ruleChain, table string) {
		fmt.Fprintf(b, ":%s - [0:0]\n", c.name) // it is emptied if it is there
		for _, r := range c.rules {
			fmt.Fprintf(b, "-A %s %s\n", c.name, r)
		}
		c.deletions(b, table)
		for _, j := range c.jumps {
			rule, rest, _ := strings.Cut(c.jumpRule(j), " ")
			fmt.Fprintf(b, "-I %s 1 %s\n", rule, rest)
		}
	}, saved)
}

// removal is what takes away what saved has of the chains; "" for nothing.
func removal(saved string, chains []ruleChain) string {
	return byTable(chains, func(b *strings.Builder, c ruleChain, table string) {
		c.deletions(b, table)
		if strings.Contains(table, "\n:"+c.name+" ") {
			fmt.Fprintf(b, "-F %s\n-X %s\n", c.name, c.name)
		}
	}, saved)
}

func (c ruleChain) deletions(b *strings.Builder, table string) {
	for _, j := range c.jumps {
		for range strings.Count(table, "\n-A "+c.jumpRule(j)+"\n") {
			fmt.Fprintf(b, "-D %s\n", c.jumpRule(j))
		}
	}
}

// complete reports whether saved has the chains with all of their rules.
func complete(saved string, chains []ruleChain) bool {
	for _, c := range chains {
		table := tableOf(saved, c.table)
		if strings.Count(table, "\n-A "+c.name+" ") != len(c.rules) {
			return false
		}
		for _, j := range c.jumps {
			if !strings.Contains(table, "\n-A "+c.jumpRule(j)+"\n") {
				return false
			}
		}
	}
	return true
}

// byTable writes the chains' lines between the lines that begin and end a table.
func byTable(chains []ruleChain, write func(b *strings.Builder, c ruleChain, saved string), saved string) string {
	var text strings.Builder
	for _, table := range []string{"filter", "nat"} {
		var b strings.Builder
		for _, c := range chains {
			if c.table == table {
				write(&b, c, tableOf(saved, table))
			}
		}
		if b.Len() > 0 {
			fmt.Fprintf(&text, "*%s\n%sCOMMIT\n", table, b.String())
		}
	}
	return text.String()
}

// tableOf is the table's part of what iptables-save has written, each line with a newline on either side.
func tableOf(saved, table string) string {
	_, rest, found := strings.Cut("\n"+saved, "\n*"+table+"\n")
	if !found {
		return ""
	}
	part, _, _ := strings.Cut(rest, "COMMIT\n")
	return "\n" + part
}
