package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/doctor"
	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

type doctorOptions struct{ format string }

func doctorCommand(s *session) *cli.Command {
	var o doctorOptions
	return &cli.Command{
		Name: "doctor", Category: "prove", Usage: "examine this machine, and say what to repair", ArgsUsage: "",
		Description: page{
			about: "Looks at the kernel, cgroups, containerd, the OCI runtime, the snapshotter, the Python environment, CUDA, devices, hostrun's own files, and what " +
				"killed commands left behind. Each check comes with what was seen and, where something is to be done, what to type. Nothing is started, changed or removed.\n\n" +
				"A note tells of less than there could be; what is broken keeps containers from starting.",
			examples: []string{"hostrun doctor", "hostrun doctor --format json", "hostrun doctor --format '{{.verdict}} {{.group}}/{{.check}}: {{.evidence}}'"},
			own:      "0 where nothing must be repaired, 1 where something must, or:",
			statuses: []int{finding.StatusUsage, 130},
		}.on(s),
		Flags:  []cli.Flag{formatFlag(&o.format)},
		Action: action(func(ctx context.Context) error { return runDoctor(ctx, s, o) }),
	}
}

func runDoctor(ctx context.Context, s *session, o doctorOptions) error {
	if err := s.none(); err != nil {
		return err
	}
	m, err := s.machine(ctx)
	if err != nil {
		return err
	}
	checks := doctor.Examine(m)
	s.progress.end()
	if o.format == "table" {
		s.writeChecks(checks)
	} else if err := show(s.stdout, o.format, checks, table[doctor.Check]{}); err != nil {
		return err
	}
	if len(doctor.MustRepair(checks)) > 0 {
		return ended(finding.StatusFailed)
	}
	return nil
}

// machine gathers what the checks are made of.
func (s *session) machine(ctx context.Context) (doctor.Machine, error) {
	g := &s.global
	m := doctor.Machine{
		Root: s.root, UID: os.Geteuid(), Path: s.env["PATH"], Namespace: g.namespace,
		StateDir: s.abs(g.stateDir), DataDir: s.abs(g.dataDir), CacheDir: s.abs(g.cacheDir), LibexecDir: s.libexec(),
		Version: programVersion(ctx), Free: freeBytes,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(guard(func() (err error) {
		m.Facts, err = host.Probe(ctx, s.hostOptions(), host.Needs{Python: "auto", CUDA: "auto"})
		return err
	}))
	group.Go(guard(func() error {
		inventories, err := s.accelerators(ctx)
		registry := s.equipment(nil).openCDI()
		m.CDI = append(registry.Findings(), registry.Stale(inventories)...)
		return err
	}))
	group.Go(guard(func() error {
		for _, kind := range s.kinds() {
			m.Engines = append(m.Engines, s.engineFacts(ctx, kind))
		}
		return ctx.Err()
	}))
	return m, group.Wait()
}

// engineFacts looks at one containerd without starting it.
func (s *session) engineFacts(ctx context.Context, kind engineKind) doctor.Engine {
	o := s.reach(ctx, kind)
	e := doctor.Engine{Kind: string(kind), Address: s.runtimeOptions(kind).Address}
	e.Standing = map[standing]doctor.Standing{usable: doctor.Usable, absent: doctor.Absent, denied: doctor.Denied, unusable: doctor.Hanging}[o.standing]
	err := o.err
	if o.standing == denied {
		err = s.deniedError(err)
	}
	if kind == privateEngine {
		e.EverRan = s.everRan()
		if running, err := engine.State(s.layout()); err == nil && running.Running {
			e.PID, e.Since, e.Outdated = running.PID, running.Since, running.Outdated
		}
		err := engine.Installed(s.layout())
		if err == nil {
			err = s.layout().Check()
		}
		if err != nil {
			e.Missing, e.Hints = err.Error(), finding.HintOf(err)
		}
	}
	if o.client != nil {
		x, examined := o.client.Examine(ctx)
		if err = examined; err == nil {
			e.Version, e.Snapshotter, e.OCIRuntime, e.Shim, e.Containers, e.HalfMade, e.GivenUp = x.Version, x.Snapshotter, x.OCIRuntime, x.Shim, x.Containers, x.HalfMade, x.GivenUp
		} else {
			e.Standing = doctor.Hanging
		}
	}
	if err != nil && e.Missing == "" {
		e.Error, e.Hints = err.Error(), finding.HintOf(err)
	}
	return e
}

// programVersion returns a function that asks a program for the first line of its --version.
func programVersion(ctx context.Context) func(string) string {
	return func(binary string) string {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, binary, "--version").Output()
		if err != nil {
			return "(does not run: " + err.Error() + ")"
		}
		line, _, _ := strings.Cut(string(out), "\n")
		return "(" + strings.TrimSpace(line) + ")"
	}
}

// freeBytes is the room that is left on the file system of a directory, for root.
func freeBytes(dir string) (uint64, bool) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0, false
	}
	return fs.Bfree * uint64(fs.Bsize), true
}

// writeChecks prints the checks in groups, what is to be typed below each, and the sum.
func (s *session) writeChecks(checks []doctor.Check) {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	group := ""
	for _, c := range checks {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(s.stdout, "%s\n", group)
		}
		fmt.Fprintf(s.stdout, "  %s  %-*s  %s\n", s.verdict(c.Verdict), width, c.Name, indented(c.Evidence, strings.Repeat(" ", width+12)))
		if c.Repair != "" {
			fmt.Fprintf(s.stdout, "  %8s%*s  -> %s\n", "", width, "", indented(c.Repair, strings.Repeat(" ", width+15)))
		}
	}
	if broken := doctor.MustRepair(checks); len(broken) > 0 {
		fmt.Fprintf(s.stdout, "\n%d of %d checks: must be repaired\n", len(broken), len(checks))
	} else {
		fmt.Fprintf(s.stdout, "\n%d checks: nothing must be repaired\n", len(checks))
	}
}

func (s *session) verdict(v doctor.Verdict) string {
	color := map[doctor.Verdict]string{doctor.Broken: red, doctor.Note: yellow, doctor.OK: cyan}[v]
	text := fmt.Sprintf("%-6s", v)
	if !s.colored(s.stdout) {
		return text
	}
	return color + text + plain
}
