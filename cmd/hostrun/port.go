package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/runtime"
)

func portCommand(s *session) *cli.Command {
	format := "table"
	return &cli.Command{
		Name: "port", Category: "look", Usage: "say which ports of the host lead to a container", ArgsUsage: "NAME [PORT[/PROTOCOL]]",
		Description: page{
			about: "Prints a line for each port of a running container: its own, and the address of the host that leads there. With PORT only that address is printed. " +
				"With the host's network they are the ports that the profile names.",
			examples: []string{"hostrun port web", "hostrun port web 80", "curl http://$(hostrun port web 80)/"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{formatFlag(&format)},
		Action: action(func(ctx context.Context) error { return runPort(ctx, s, format) }),
	}
}

// A portRow is one line of `hostrun port`.
type portRow struct {
	Schema    int    `json:"schema"` // 1
	Container string `json:"container"`
	network.Binding
}

func runPort(ctx context.Context, s *session, format string) error {
	names, err := s.names(wants{what: "container", min: 1, max: 2}, false)
	if err != nil {
		return err
	}
	of, _, err := s.meant(ctx, names[0])
	if err != nil {
		return err
	}
	var ports []network.Binding
	var rows []portRow
	for _, r := range of {
		some, err := s.portsOf(ctx, r.name)
		if err != nil {
			return err
		}
		ports = append(ports, some...)
		for _, b := range some {
			rows = append(rows, portRow{Schema: 1, Container: r.name, Binding: b})
		}
	}
	if len(names) == 1 {
		return show(s.stdout, format, rows, table[portRow]{
			header: []string{"CONTAINER", "HOST"},
			cells:  func(r portRow) []string { return []string{fmt.Sprintf("%d/%s", r.Port, r.Protocol), r.Address()} },
		})
	}
	port, protocol, err := privatePort(names[1])
	if err != nil {
		return err
	}
	found := false
	for _, b := range ports {
		if int(b.Port) == port && b.Protocol == protocol {
			fmt.Fprintln(s.stdout, b.Address())
			found = true
		}
	}
	if !found {
		return finding.Errorf(finding.StatusFailed, "hostrun port "+names[0]+" lists those that are", "container %s: its port %d/%s is not published", names[0], port, protocol)
	}
	return nil
}

// portsOf are the ports of a container that runs.
func (s *session) portsOf(ctx context.Context, name string) ([]network.Binding, error) {
	client, err := s.containerdFor(ctx, name)
	if err != nil {
		return nil, err
	}
	known, err := client.InspectContainer(ctx, name)
	if err != nil {
		return nil, err
	}
	c := known.(runtime.Inspection)
	if c.Status != "running" && c.Status != "paused" {
		return nil, finding.Errorf(finding.StatusFailed, "hostrun start "+name, "container %s: it does not run", name)
	}
	return c.Ports, nil
}

// privatePort reads PORT or PORT/PROTOCOL.
func privatePort(word string) (int, string, error) {
	text, protocol, has := strings.Cut(word, "/")
	if !has {
		protocol = "tcp"
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return 0, "", finding.Errorf(finding.StatusUsage, "write PORT or PORT/udp", "%q is no port of a container", word)
	}
	return int(port), protocol, nil
}
