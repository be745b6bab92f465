package host

import (
	"context"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// Schema is the version of the JSON form of Facts.
const Schema = 1

// A machine is the tree that a probe reads and the caller whose view of it counts.
type machine struct {
	view *rootfs.View
	opt  Options
}

// Probe reads the machine. What is wrong with something asked for is a finding in the facts; the error is for a
// machine that can't be read at all, or ctx's.
func Probe(ctx context.Context, opt Options, needs Needs) (Facts, error) {
	if opt.Root == "" {
		opt.Root = "/"
	}
	m := machine{view: rootfs.Dir(opt.Root), opt: opt}
	if !m.view.IsDir("/") {
		return Facts{}, fmt.Errorf("read the machine below %s: %w", opt.Root, fs.ErrNotExist)
	}
	facts := Facts{Schema: Schema}
	var pythonSaid, cudaSaid []finding.Finding
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { m.readMachine(&facts); return ctx.Err() })
	if wanted(needs.Python) {
		group.Go(func() (err error) {
			facts.Python, pythonSaid, err = m.python(ctx, needs)
			return err
		})
	}
	if wanted(needs.CUDA) {
		group.Go(func() error {
			facts.CUDA, cudaSaid = m.cuda(needs.CUDA)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return Facts{}, err
	}
	m.findLibraries(&facts)
	facts.Findings = append(pythonSaid, cudaSaid...)
	return facts, nil
}

func wanted(need string) bool { return need != "" && need != "none" }
