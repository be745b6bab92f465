package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

type whereOptions struct {
	over   overrides
	format string
}

func whereCommand(s *session) *cli.Command {
	var o whereOptions
	return &cli.Command{
		Name: "where", Category: "prove", Usage: "tell from where a module would be imported", ArgsUsage: "NAME MODULE [-- ARGS...]",
		Description: page{
			about: "Looks MODULE up on the path that Python has in the container, in the image's files and in what would be mounted, and prints what " +
				"import would take, and below it what that hides. Nothing is started, pulled or mounted.",
			examples: []string{"hostrun where dinov2 torch", "hostrun where dinov2 google.protobuf", "hostrun where --format json dinov2 numpy"},
			statuses: startStatuses,
		}.on(s),
		Flags:  append([]cli.Flag{formatFlag(&o.format)}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runWhere(ctx, s, o) }),
	}
}

// A place is one object of where --format json, what is imported first; the form is part of the contract.
type place struct {
	Module   string       `json:"module"`
	Imported bool         `json:"imported"` // false: hidden by the first
	File     string       `json:"file"`     // in the container; "" for what is in the interpreter
	Side     string       `json:"side"`     // "image" or "host"
	Source   string       `json:"source"`   // on this machine, of the host's
	Kind     imports.Kind `json:"kind"`
	Entry    string       `json:"entry"` // of sys.path
}

func runWhere(ctx context.Context, s *session, o whereOptions) error {
	names, err := s.names(wants{what: "profile", min: 1, max: 2}, true)
	if err != nil {
		return err
	}
	if len(names) < 2 {
		return finding.Errorf(finding.StatusUsage, "hostrun where "+names[0]+" torch", "%s needs the name of a profile and of a module", s.line.title())
	}
	if !moduleName.MatchString(names[1]) {
		return finding.Errorf(finding.StatusUsage, "hostrun where "+names[0]+" torch.nn", "%q is no name of a module: names with dots between, as after import", names[1])
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	facts, pl, err := s.assemble(ctx, order{name: names[0], over: o.over, pull: "never"})
	var refused *plan.Refused
	if err != nil && (!errors.As(err, &refused) || pl.Spec == nil) {
		return err
	}
	found, searched, err := s.places(ctx, facts, pl, names[1])
	s.progress.end()
	if err != nil {
		return err
	}
	if len(found) == 0 {
		hint := "searched: " + strings.Join(searched, ", ")
		if parent, at := s.parentOf(ctx, facts, pl, names[1]); at != "" {
			hint = parent + " is " + at + ", and has nothing of that name"
		}
		return finding.Errorf(finding.StatusFailed, hint, "No module named '%s' in the container of %s", names[1], names[0])
	}
	return show(s.stdout, o.format, found, table[place]{header: []string{"IMPORTED", "SIDE", "KIND", "FILE", "SOURCE"}, cells: placeCells})
}

// moduleName matches what import could name. Letters outside of ASCII are taken as such.
var moduleName = pattern.New(`^[\pL_][\pL\pN_]*(\.[\pL_][\pL\pN_]*)*$`)

// parentOf finds the nearest package above a module that is there: what it says of itself tells why the module is not.
func (s *session) parentOf(ctx context.Context, facts plan.Facts, pl plan.Plan, module string) (parent, file string) {
	for at := strings.LastIndexByte(module, '.'); at > 0; at = strings.LastIndexByte(module[:at], '.') {
		if found, _, err := s.places(ctx, facts, pl, module[:at]); err == nil && len(found) > 0 {
			return module[:at], first(found[0].Source, found[0].File)
		}
	}
	return "", ""
}

func placeCells(p place) []string {
	imported := "yes"
	if !p.Imported {
		imported = "hidden"
	}
	if p.File == "" {
		p.File = "(in the interpreter)"
	}
	return []string{imported, p.Side, string(p.Kind), p.File, dash(p.Source)}
}

// places looks the module up in the files of the image with the plan's mounts over them.
func (s *session) places(ctx context.Context, facts plan.Facts, pl plan.Plan, module string) (found []place, searched []string, err error) {
	err = s.withView(ctx, facts, pl.ID, s.shown(pl), func(view *rootfs.View) error {
		request, err := importRequest(view, facts, pl)
		if err != nil {
			return err
		}
		searched = imports.SysPath(view, request.Python, request.Env)
		all, err := imports.Where(ctx, view, request, module)
		for i, c := range all {
			found = append(found, placeOf(view, module, c, i == 0 || c.Kind == imports.Namespace && all[0].Kind == imports.Namespace))
		}
		return err
	})
	return found, searched, err
}

func placeOf(view *rootfs.View, module string, c imports.Candidate, imported bool) place {
	p := place{Module: module, Imported: imported, File: c.File, Side: c.Side, Kind: c.Kind, Entry: c.Entry}
	if r, err := view.Resolve(c.File); err == nil && c.Side == "host" {
		p.Source = r.Real
	}
	return p
}

// importRequest is the container's command for the import scan.
func importRequest(view *rootfs.View, facts plan.Facts, pl plan.Plan) (imports.Request, error) {
	r := imports.Request{Python: imagePython(facts, pl), Command: pl.Spec.Process.Args, WorkingDir: pl.Spec.Process.Cwd, Env: envMap(pl.Spec.Process.Env)}
	for _, b := range pl.Borrowed {
		r.HostDirs = append(r.HostDirs, b.Destination)
	}
	if r.Python.Executable != "" {
		return r, nil
	}
	pythons, _ := abi.FindPythons(view, abi.Environment{Path: filepath.SplitList(r.Env["PATH"]), LibraryPath: filepath.SplitList(r.Env["LD_LIBRARY_PATH"])})
	if len(pythons) == 0 {
		return r, finding.Errorf(finding.StatusMisfit, "name one in command:, or use an image with Python", "no interpreter of Python was found in the image %s", facts.Image.Reference)
	}
	r.Python = pythons[0]
	return r, nil
}
