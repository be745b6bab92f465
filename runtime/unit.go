package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/supervise"
)

// This file is about containers that `hostrun up --supervise` keeps: one process each, which ends with its container.

// tended says whether something looks after the container: hostrun supervise, or a keeper of its own.
func tended(labels map[string]string) bool {
	return labels[labelOneOff] == "" && (labels[plan.LabelRestart] != "" || labels[plan.LabelHealthcheck] != "" || labels[plan.LabelUnit] != "")
}

// keeperFile is what the keeper of a container holds a lock on.
func (c *Client) keeperFile(id string) string {
	return filepath.Join(c.opt.StateDir, "kept", filepath.Base(c.superviseFile())+"."+id)
}

// LockKeeper makes this process the container's keeper, until release is called or it ends. The error is finding HR261 where it has one.
func (c *Client) LockKeeper(id string) (release func(), err error) {
	path := c.keeperFile(id)
	if err := c.stateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the supervision of container %s: %w", id, err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f, path) {
			_ = f.Truncate(0)
			_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // for messages alone
			return func() { _ = os.Remove(path); _ = f.Close() }, nil
		}
		holder := readPID(f)
		_ = f.Close()
		switch {
		case err == nil: // its owner removed it between our open and our lock
		case errors.Is(err, unix.EWOULDBLOCK):
			return nil, finding.Errorf(finding.StatusTryAgain, "leave it at that, or end it first: its number is in the message",
				"%s: supervise container %s: process %d does that already", finding.KeptTwice, id, holder)
		default:
			return nil, fmt.Errorf("lock the supervision of container %s: %w", id, err)
		}
	}
}

// Keeper returns the process that keeps the container; 0 for none.
func (c *Client) Keeper(id string) (pid int) {
	f, err := os.Open(c.keeperFile(id))
	if err != nil {
		return 0
	}
	defer f.Close()
	if !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return 0
	}
	return max(readPID(f), 1)
}

// UnitOf says which unit a container belongs to whose keeper is at work, and the cgroup that its plan names; nil for none.
func (c *Client) UnitOf(ctx context.Context, id string) (*plan.Unit, error) {
	if c.Keeper(id) == 0 {
		return nil, nil
	}
	r, err := c.own(c.in(ctx), id)
	if errors.Is(err, ErrNoContainer) || err == nil && r.Labels[plan.LabelUnit] == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	one := plan.UnitOf(r.Labels[plan.LabelUnit])
	u := &one
	if spec, err := specOf(r); err == nil && spec.Linux != nil && strings.HasSuffix(spec.Linux.CgroupsPath, "/"+containerPart) {
		u.Cgroup = spec.Linux.CgroupsPath
	}
	return u, nil
}

// unitsOwn is the error of whoever would start or replace a container behind its unit's back; nil where it has none.
func (c *Client) unitsOwn(r containers.Container, pl *plan.Plan) error {
	label := r.Labels[plan.LabelUnit]
	if label == "" || pl != nil && (pl.Keeper || c.Keeper(r.ID) == 0) {
		return nil
	}
	u := plan.UnitOf(label)
	hint := "it starts the container by itself: " + label
	if strings.HasSuffix(u.Name, ".service") {
		hint = u.Systemctl("restart") + "\nor take the container away from it: " + u.Systemctl("stop")
	}
	return finding.Errorf(finding.StatusTryAgain, hint, "%s: container %s belongs to %s", finding.UnitsOwn, r.ID, label)
}

// Tended is what supervise has to know of one container, be it kept by a process of its own; false where there is none.
func (c *Client) Tended(ctx context.Context, id string) (supervise.Container, bool, error) {
	return c.lookedAfter(ctx, id, tended)
}

// NotUnits refuses to start a container that is a unit's.
func (c *Client) NotUnits(ctx context.Context, id string) error {
	r, err := c.own(c.in(ctx), id)
	if err != nil {
		return err
	}
	return c.unitsOwn(r, nil)
}

// StopKept stops a container for its keeper: nobody has said that it is to stay down.
func (c *Client) StopKept(ctx context.Context, id string) error {
	return c.stopUnmarked(ctx, id, func(containers.Container) bool { return true })
}

// CleanKept ends what a keeper that was killed has left of its container: its process, its network, the lock on its devices. The record
// stays with the layer, for the next start. It leaves alone what has a keeper, or never had one.
func (c *Client) CleanKept(ctx context.Context, id string) error {
	return c.stopUnmarked(ctx, id, func(r containers.Container) bool {
		return r.Labels[plan.LabelUnit] != "" && c.Keeper(id) == 0
	})
}

func (c *Client) stopUnmarked(ctx context.Context, id string, meant func(containers.Container) bool) error {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, id)
	if errors.Is(err, ErrNoContainer) {
		return nil
	} else if err != nil {
		return err
	}
	defer l.unlock()
	if !meant(r) {
		return nil
	}
	c.preStopAnyway(ctx, r)
	return c.stop(ctx, r, nil)
}

// Relay copies the container's output, from since on, until it has ended, and returns its exit status.
func (c *Client) Relay(ctx context.Context, id string, since time.Time, stdio IO) (int, error) {
	return c.attachSince(ctx, id, stdio, nil, since)
}
