package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/unit"
)

type systemdOptions struct {
	user, enable, now, yes, supervisor bool
	program                            string
}

func systemdCommand(s *session) *cli.Command {
	var o systemdOptions
	user := &cli.BoolFlag{Name: "user", Usage: "for your own systemd, and a containerd that you may use without being root", Destination: &o.user}
	return &cli.Command{
		Name: "systemd", Category: "containers", Usage: "run profiles as services of systemd", ArgsUsage: "install | uninstall | print",
		Description: page{
			about: "A profile NAME becomes the service hostrun@NAME.service: systemctl starts, stops and reloads it, journalctl -u shows the container's output. " +
				"The service is up when the container is healthy, and ends with it. docs/systemd.md tells what is in the unit and why.",
			examples: []string{"hostrun systemd install --now dinov2", "systemctl status hostrun@dinov2", "journalctl -u hostrun@dinov2"},
			statuses: []int{finding.StatusUsage},
		}.on(s),
		Action: action(func(context.Context) error {
			return finding.Errorf(finding.StatusUsage, "hostrun systemd --help", "hostrun systemd takes what is to be done: install, uninstall or print")
		}),
		Subcommands: []*cli.Command{
			{
				Name: "install", Usage: "write the units of profiles", ArgsUsage: "NAME...",
				Description: page{
					about: "Writes the template hostrun@.service, unless make install or a package has, and for each profile, and for those that it depends on, a drop-in of what its file says: " +
						"what is to be mounted, the order, grace, restarts, limits. The service has none of your shell's variables but those that lead to a Python, and HOME; others that the profile names belong into /etc/hostrun/NAME.env. " +
						"After a change of depends_on, volumes, restart or stop_grace_period install it again.",
					examples: []string{"hostrun systemd install dinov2", "hostrun systemd install --now ./stack/web.yaml"},
					statuses: systemdStatuses,
				}.on(s),
				Flags: []cli.Flag{
					user,
					&cli.BoolFlag{Name: "enable", Usage: "start it at each boot", Destination: &o.enable},
					&cli.BoolFlag{Name: "now", Usage: "the same, and start it now; returns when it is up", Destination: &o.now},
				},
				Action: action(func(ctx context.Context) error { return runSystemdInstall(ctx, s, o) }),
			},
			{
				Name: "uninstall", Usage: "stop services, and remove what belongs to them", ArgsUsage: "NAME...",
				Description: page{
					about:    "Stops and disables the services, removes their drop-ins and their containers, and with the last of them the template, if hostrun systemd install wrote it. Images, volumes and /etc/hostrun stay.",
					examples: []string{"hostrun systemd uninstall dinov2"},
					statuses: containerdStatuses,
				}.on(s),
				Flags:  []cli.Flag{user, yesFlag(&o.yes)},
				Action: action(func(ctx context.Context) error { return runSystemdUninstall(ctx, s, o) }),
			},
			{
				Name: "print", Usage: "print units instead of writing them", ArgsUsage: "[NAME...]",
				Description: page{
					about:    "Prints the template, and behind it the drop-in of each profile, with the names of the files that install would write.",
					examples: []string{"hostrun systemd print dinov2", "hostrun systemd print > hostrun@.service", "hostrun systemd print --supervisor > hostrun.service"},
					statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusProfile},
				}.on(s),
				Flags: []cli.Flag{
					user,
					&cli.BoolFlag{Name: "supervisor", Usage: "hostrun.service, which starts after a boot what restart: wants up", Destination: &o.supervisor},
					&cli.StringFlag{Name: "program", Usage: "hostrun is to be at `PATH`, instead of where this one is", Destination: &o.program},
				},
				Action: action(func(ctx context.Context) error { return runSystemdPrint(ctx, s, o) }),
			},
			{Name: "clean", Hidden: true, ArgsUsage: "NAME", Action: action(func(ctx context.Context) error { return runSystemdClean(ctx, s) })},
		},
	}
}

var systemdStatuses = []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusProfile, finding.StatusTryAgain, finding.StatusPermission, 130}

// services are those of the line, and with them those that they depend on.
func (s *session) services(ctx context.Context, o systemdOptions, min int) (*services, []*service, error) {
	names, err := s.names(wants{what: "profile", min: min}, false)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.newServices(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	var asked []*service
	var errs []error
	for _, name := range names {
		services, err := all.add(name)
		asked, errs = append(asked, services...), append(errs, err)
	}
	return all, asked, severally(errs)
}

func runSystemdPrint(ctx context.Context, s *session, o systemdOptions) error {
	all, asked, err := s.services(ctx, o, 0)
	if err != nil {
		return err
	}
	text := all.template
	if o.supervisor {
		if len(asked) > 0 {
			return finding.Errorf(finding.StatusUsage, "", "hostrun systemd print: give names or --supervisor, not both")
		}
		text = unit.Supervisor(all.program, o.user)
	}
	if len(asked) > 0 {
		text = "# " + all.templateFile() + "\n" + text
	}
	for _, one := range asked {
		text += "\n# " + all.dropInFile(one.name) + "\n" + one.text
	}
	_, err = io.WriteString(s.stdout, text)
	return err
}

func runSystemdInstall(ctx context.Context, s *session, o systemdOptions) error {
	all, asked, err := s.services(ctx, o, 1)
	if err != nil {
		return err
	}
	written, err := all.write()
	for _, file := range written {
		fmt.Fprintln(s.stdout, file)
	}
	if err != nil {
		return err
	}
	if all.booted() {
		if err := all.systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
		all.noteRunning(ctx, written)
	}
	if !o.enable && !o.now {
		return nil
	}
	words := []string{"enable"}
	if o.now && !all.booted() {
		s.note("systemd does not run here: the services start with the machine")
	} else if o.now {
		words = append(words, "--now")
	}
	for _, one := range asked {
		words = append(words, unit.Name(one.name))
	}
	return all.systemctl(ctx, words...)
}

func runSystemdUninstall(ctx context.Context, s *session, o systemdOptions) error {
	names, err := s.names(wants{what: "profile", min: 1}, false)
	if err != nil {
		return err
	}
	if err := s.confirmed(o.yes, "stop and remove %s?", fmt.Sprint(names)); err != nil {
		return err
	}
	all, err := s.newServices(ctx, o)
	if err != nil {
		return err
	}
	var errs []error
	var ids []string
	for _, name := range names {
		of := all.installed(name)
		if !slices.ContainsFunc(of, func(id string) bool { return all.knows(ctx, id) }) {
			s.note("there are no units of %s", name)
		}
		ids = append(ids, of...)
	}
	for _, id := range ids {
		errs = append(errs, all.disable(ctx, id), all.removeContainer(ctx, id), all.remove(id))
	}
	errs = append(errs, all.removeTemplate())
	if all.booted() {
		errs = append(errs, all.systemctl(ctx, "daemon-reload"))
		for _, id := range ids { // of one that had failed
			_, _ = all.ask(ctx, "reset-failed", unit.Name(id))
		}
	}
	return severally(errs)
}

// removeContainer removes the container of a service, and no other of its name.
func (v *services) removeContainer(ctx context.Context, id string) error {
	all, err := v.s.list(ctx)
	if err != nil {
		return err
	}
	own := plan.Unit{Name: unit.Name(id)}
	if v.user {
		own.User = strconv.Itoa(os.Geteuid())
	}
	for _, c := range all {
		if c.Container.Container != id || c.Unit != own.Label() {
			continue
		}
		if v.s.asMember(ctx) {
			return v.s.asksRoot("down", "-y", id)
		}
		return v.s.exceptAbsent(c.client.Down(ctx, id, nil))
	}
	return nil
}

// runSystemdClean is what a unit does when its process has gone: the container must not be left behind, whatever has ended that.
func runSystemdClean(ctx context.Context, s *session) error {
	names, err := s.names(wants{what: "container", min: 1, max: 1}, false)
	if err != nil {
		return err
	}
	id := unit.Profile(names[0])
	all, err := s.list(ctx)
	for _, c := range all {
		if c.Container.Container == id {
			return c.client.CleanKept(ctx, id)
		}
	}
	return err
}

func (v *services) dropInFile(name string) string {
	return filepath.Join(v.dir, unit.Name(name)+".d", unit.DropInName)
}

func (v *services) templateFile() string { return filepath.Join(v.dir, unit.TemplateName) }
