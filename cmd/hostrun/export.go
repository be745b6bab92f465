package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

type exportOptions struct {
	kind   string
	noGIDs bool
}

func exportCommand(s *session) *cli.Command {
	var o exportOptions
	return &cli.Command{
		Name: "export", Category: "prove", Usage: "write this machine's devices for other container tools", ArgsUsage: "cdi [NAME]",
		Description: page{
			about:    "hostrun export cdi writes a CDI file. hostrun export alone lists what can be written.",
			examples: []string{"hostrun export cdi > /etc/cdi/hostrun.json"},
			statuses: []int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusNoDevice},
		}.on(s),
		Action: action(func(context.Context) error {
			return finding.Errorf(finding.StatusUsage, "hostrun export cdi", "hostrun export takes what is to be written: cdi")
		}),
		Subcommands: []*cli.Command{{
			Name: "cdi", Usage: "write a CDI file of all accelerators that work", ArgsUsage: "[NAME]",
			Description: page{
				about: "Prints a CDI specification (JSON) that docker, podman, containerd and Kubernetes read: what hostrun would give a container, without hooks, in the lowest version that " +
					"has words for it, with a fingerprint of the machine's state by which hostrun doctor tells when it is out of date. Node numbers are left to the reader, which looks at each start.\n\n" +
					"CDI can set a variable and can't put a directory in front of one. With the name of a profile the variables of its image are taken into account, and the file is for that image; without, LD_LIBRARY_PATH is left out.",
				examples: []string{"hostrun export cdi > /etc/cdi/hostrun.json", "hostrun export cdi --kind ascend.com/npu llamafactory-npu > /etc/cdi/llamafactory.json", "hostrun export cdi --no-gids"},
				statuses: startStatuses,
			}.on(s),
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: "of this `VENDOR/CLASS`; needed where the machine has several", Destination: &o.kind},
				&cli.BoolFlag{Name: "no-gids", Usage: "leave supplementary groups out: readers before CDI 0.7.0 refuse them (podman 4)", Destination: &o.noGIDs},
			},
			Action: action(func(ctx context.Context) error { return runExportCDI(ctx, s, o) }),
		}},
	}
}

func runExportCDI(ctx context.Context, s *session, o exportOptions) error {
	names, err := s.names(wants{what: "profile", max: 1}, false)
	if err != nil {
		return err
	}
	options := cdi.Options{NoGIDs: o.noGIDs}
	source, inv, err := s.exported(ctx, o.kind)
	if err != nil {
		return err
	}
	if len(names) == 1 {
		if options.Env, options.Ask, err = s.ofProfile(ctx, names[0], inv.Kind); err != nil {
			return err
		}
	}
	spec, found, err := cdi.Export(source, inv, options)
	s.warn(append(inv.Findings, found...))
	if err != nil {
		hint := ""
		if stop := finding.Errors(found); len(stop) > 0 {
			hint, err = stop[0].Remedy, errors.New(stop[0].Message)
		}
		return finding.Errorf(finding.StatusNoDevice, hint, "export devices of kind %s: %w", inv.Kind, err)
	}
	return writeIndented(s.stdout, spec)
}

// exported is the kind's own discovery: what a CDI file describes need not be written again.
func (s *session) exported(ctx context.Context, kind string) (devices.Source, devices.Inventory, error) {
	e := s.equipment(nil)
	var have []string
	var source devices.Source
	var inv devices.Inventory
	for _, k := range e.kinds() {
		own := e.own[k]
		if own == nil || kind != "" && k != kind {
			continue
		}
		found, err := own.Inventory(ctx, devices.Needs{Health: true})
		if errors.Is(err, devices.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, inv, err
		}
		have = append(have, k)
		source, inv = own, found
	}
	switch {
	case len(have) == 1:
		return source, inv, nil
	case len(have) > 1:
		return nil, inv, finding.Errorf(finding.StatusUsage, "hostrun export cdi --kind "+have[0], "this machine has several kinds: %s", strings.Join(have, ", "))
	case kind != "":
		return nil, inv, finding.Errorf(finding.StatusNoDevice, "hostrun devices lists what there is", "this machine has no %s that hostrun finds by itself", devices.Noun(kind))
	}
	return nil, inv, finding.Errorf(finding.StatusNoDevice, "hostrun devices lists what there is", "this machine has no accelerator that hostrun finds by itself")
}

// ofProfile are the environment of a profile's image, without what does not reach a container, and the kind's own options of what the
// profile asks for.
func (s *session) ofProfile(ctx context.Context, name, kind string) (env, options map[string]string, err error) {
	p, err := s.profile(order{name: name})
	if err != nil {
		return nil, nil, err
	}
	for _, a := range plan.Asks(p) {
		if a.Kind == kind && options == nil {
			options = a.Options
		}
	}
	if p.Image == "" {
		return map[string]string{}, options, nil
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return nil, nil, err
	}
	image, err := imageOf(ctx, client, p.Image, p.Platform)
	env = envMap(image.Env)
	maps.DeleteFunc(env, func(name, _ string) bool { return plan.DropsFromImage(name) })
	return env, options, err
}

func imageOf(ctx context.Context, client *runtime.Client, image, platform string) (plan.Image, error) {
	ref, err := client.EnsureImage(ctx, image, platform, "never")
	if err != nil {
		return plan.Image{}, fmt.Errorf("read the variables of its image: %w", err)
	}
	return client.Inspect(ctx, ref, platform, plan.ImageNeeds{})
}
