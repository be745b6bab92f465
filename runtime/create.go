package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"hostrun.dev/hostrun/plan"
)

// A made is a container whose record, files and snapshot exist.
type made struct {
	record containers.Container
	root   []mount.Mount
	notes  map[string]string // for the record, with that of its start
	kept   func() error      // waits until what the container was made of has been written; may be nil
}

func (m *made) keep() error {
	if m.kept == nil {
		return nil
	}
	return m.kept()
}

// make creates the record, and beside it the snapshot, then files: whatever a crash leaves behind is named by the record,
// or by the mark of a snapshot that has none yet. On error nothing stays.
func (c *Client) make(ctx context.Context, pl plan.Plan, labels map[string]string) (made, error) {
	early, snapshotter, err := c.earlyOf(ctx, pl)
	if err != nil {
		return made{}, err
	}
	defer early.forget()
	record, err := newRecord(pl, labels)
	if err != nil {
		early.undo(ctx)
		return made{}, err
	}
	record.Snapshotter, record.SnapshotKey = snapshotter, early.key
	record, err = c.ctrd.ContainerService().Create(ctx, record)
	if err != nil {
		early.undo(ctx)
	}
	if errdefs.IsAlreadyExists(err) {
		return made{}, fmt.Errorf("create container %s: %w", pl.ID, errTaken)
	}
	if err != nil {
		return made{}, createError(pl.ID, err)
	}
	c.unholdImage(pl.Image)
	step("record-created")
	c.Unreserve(pl.ID)
	root, err := c.fill(ctx, pl, record, early)
	if err != nil {
		return made{}, errors.Join(createError(pl.ID, err), c.discard(ctx, record))
	}
	return made{record: record, root: root}, nil
}

// errTaken says that a record of that name has come in since it was looked for.
var errTaken = fmt.Errorf("a container of that name %w", errdefs.ErrAlreadyExists)

func createError(id string, err error) error {
	if noSpace(err) {
		return fullError("create container "+id, err)
	}
	return fmt.Errorf("create container %s: %w", id, err)
}

// fill makes files and snapshot at once; neither needs the other.
func (c *Client) fill(ctx context.Context, pl plan.Plan, record containers.Container, early *earlySnapshot) ([]mount.Mount, error) {
	written := make(chan error, 1)
	go func() { written <- c.writeFiles(ctx, pl) }()
	root, err := early.mounts(ctx)
	if err != nil {
		root, err = c.prepare(ctx, pl, record)
	}
	if werr := <-written; werr != nil {
		return nil, werr
	}
	step("files-written")
	if err != nil {
		return nil, err
	}
	step("snapshot-prepared")
	return root, nil
}

// newRecord is the record but for its snapshot.
func newRecord(pl plan.Plan, labels map[string]string) (containers.Container, error) {
	spec, err := anySpec(staged(pl))
	if err != nil {
		return containers.Container{}, fmt.Errorf("create container %s: encode the spec: %w", pl.ID, err)
	}
	all := maps.Clone(pl.Labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, map[string]string{labelProfile: pl.Profile, labelHash: pl.Hash, labelChainID: pl.ChainID,
		labelState: stateCreating, labelCreator: creator()})
	maps.Copy(all, labels)
	runtime, err := runtimeInfo(pl)
	if err != nil {
		return containers.Container{}, fmt.Errorf("create container %s: %w", pl.ID, err)
	}
	record := containers.Container{ID: pl.ID, Image: pl.Image, Labels: all, Spec: spec, Runtime: runtime}
	if pl.Source != nil { // a label would be too small
		record.Extensions = map[string]typeurl.Any{extensionSource: &anypb.Any{TypeUrl: extensionSource, Value: pl.Source}}
	}
	return record, nil
}

// anySpec is typeurl.MarshalAny of a spec, quicker.
func anySpec(s *specs.Spec) (typeurl.Any, error) {
	url, err := typeurl.TypeURL(s)
	if err != nil {
		return nil, err
	}
	text, err := plan.EncodeSpec(s)
	return &anypb.Any{TypeUrl: url, Value: text}, err
}

// extensionSource names what a container's plan was made of, among the extensions of its record.
const extensionSource = "hostrun.dev/source"

// runtimeInfo tells the shim its OCI runtime, where that is not the shim's own default.
func runtimeInfo(pl plan.Plan) (containers.RuntimeInfo, error) {
	info := containers.RuntimeInfo{Name: pl.Runtime}
	if info.Name == "" {
		info.Name = runtimeName
	}
	if pl.RuntimePath == "" && pl.RuntimeRoot == "" {
		return info, nil
	}
	options, err := typeurl.MarshalAny(&options.Options{BinaryName: pl.RuntimePath, Root: pl.RuntimeRoot})
	if err != nil {
		return info, fmt.Errorf("encode the options of its OCI runtime: %w", err)
	}
	info.Options = options
	return info, nil
}

// prepare makes the container's own layer. The image is unpacked if that has not happened for this snapshotter; a
// snapshot of that name is one that the attempt beside the record has made after all.
func (c *Client) prepare(ctx context.Context, pl plan.Plan, r containers.Container) ([]mount.Mount, error) {
	if ownRoot(r) {
		return c.rootMounts(r.ID), nil
	}
	sn := c.ctrd.SnapshotService(r.Snapshotter)
	root, err := sn.Prepare(ctx, r.SnapshotKey, pl.ChainID)
	switch {
	case errdefs.IsAlreadyExists(err):
		if err := sn.Remove(ctx, r.SnapshotKey); err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("remove the old snapshot: %w", err)
		}
	case errdefs.IsNotFound(err):
		if err := c.unpackName(ctx, pl.Image); err != nil {
			return nil, err
		}
	default:
		return root, err
	}
	return sn.Prepare(ctx, r.SnapshotKey, pl.ChainID)
}

// discard removes a container with everything that belongs to it, the record last. It is idempotent: several at once,
// and one after another was killed in the middle, end alike.
func (c *Client) discard(ctx context.Context, r containers.Container) error {
	return c.discardAfter(ctx, r, c.deleteTask)
}

// finish is discard for a container that somebody who died was making or removing. The caller holds its lock.
func (c *Client) finish(ctx context.Context, r containers.Container) error {
	c.opt.Log.Info("finish what was left half done", "container", r.ID, "state", r.Labels[labelState])
	return c.discardAfter(ctx, r, func(ctx context.Context, id string) error {
		if err := c.deleteTask(ctx, id); err != nil {
			return err
		}
		return c.endOrphanShims(ctx, id)
	})
}

// discardAfter marks the removal while deleteTask ends the task, then removes the rest.
func (c *Client) discardAfter(ctx context.Context, r containers.Container, deleteTask func(context.Context, string) error) error {
	marked := make(chan error, 1)
	go func() { marked <- c.markRemoval(ctx, r) }()
	deleted := deleteTask(ctx, r.ID)
	if err := <-marked; errdefs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if deleted != nil {
		return deleted
	}
	step("task-deleted")
	if err := c.removeRest(ctx, r); err != nil {
		return err
	}
	if err := c.ctrd.ContainerService().Delete(ctx, r.ID); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", r.ID, err)
	}
	step("record-deleted")
	c.clearCgroups(r.ID)
	return nil
}

// removeRest removes snapshot, network and files at once; none needs the other.
func (c *Client) removeRest(ctx context.Context, r containers.Container) error {
	removed, unwired := make(chan error, 1), make(chan error, 1)
	go func() { unwired <- c.unwire(ctx, r.ID) }()
	go func() {
		err := c.removeSnapshot(ctx, r)
		step("snapshot-removed")
		removed <- err
	}()
	err := c.removeFiles(r.ID)
	step("files-removed")
	if err != nil {
		err = fmt.Errorf("remove the files of container %s: %w", r.ID, err)
	}
	return errors.Join(<-removed, <-unwired, err)
}

// markRemoval lets a later command finish a removal that is cut short, by taking the lock that is held as long as it goes
// on. Half-made and one-off containers need no mark: they go as soon as their creator has gone.
func (c *Client) markRemoval(ctx context.Context, r containers.Container) error {
	if r.Labels[labelState] == stateRemoving || r.Labels[labelState] == stateCreating || r.Labels[labelOneOff] != "" {
		return nil
	}
	if err := c.setLabels(ctx, r.ID, map[string]string{labelState: stateRemoving}); err != nil {
		return err
	}
	step("removal-marked")
	return nil
}

func (c *Client) removeSnapshot(ctx context.Context, r containers.Container) error {
	if r.SnapshotKey == "" || r.Snapshotter == "" {
		return nil
	}
	var sn snapshots.Snapshotter = c.ctrd.SnapshotService(r.Snapshotter)
	if err := sn.Remove(ctx, r.SnapshotKey); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove the snapshot of container %s: %w", r.ID, err)
	}
	return nil
}

// setLabels changes these labels of the record and no others.
func (c *Client) setLabels(ctx context.Context, id string, labels map[string]string) error {
	paths := make([]string, 0, len(labels))
	for k := range labels {
		paths = append(paths, "labels."+k)
	}
	_, err := c.ctrd.ContainerService().Update(ctx, containers.Container{ID: id, Labels: labels}, paths...)
	return err
}
