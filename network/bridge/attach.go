package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/go-cni"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/network/sockets"
)

// An Order is what Attach is to do.
type Order struct {
	Key
	Owner   string          // containerd's socket
	Request network.Request // of mode bridge
	Hosts   string          // the container's hosts file, on the host; "" for none
}

// Prepare makes the container's network namespace, empty but for its loopback interface, where network.NamespacePath says: the
// container can be made in it while Attach goes on. What an earlier container of the name has left is removed, unless it is
// what the request asks for: then all is there, and reused is true.
func (k *Kernel) Prepare(ctx context.Context, o Order) (reused bool, err error) {
	path := k.namespacePath(o.Key)
	e, err := k.Entry(o.Key)
	switch {
	case err == nil && e.Ready && e.Request.Equal(o.Request) && e.Owner == o.Owner && isNamespace(path) && o.Request.Mode == network.Bridge:
		_, err := k.relayAgain(e)
		return true, errors.Join(err, k.refresh(ctx, e))
	case err == nil, isNamespace(path):
		if err := k.Detach(ctx, o.Key); err != nil {
			return false, err
		}
	}
	return false, makeNamespace(path)
}

// Adopt is Prepare for a container that has made its network namespace itself: that of its first process, with which it ends.
func (k *Kernel) Adopt(key Key, pid int) error {
	path := k.namespacePath(key)
	err := joinNamespace(pid, path)
	if err != nil {
		return err
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	OnOwnThread(func() {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			err = setUp("lo", true)
		}
	})
	return err
}

// refresh writes the hosts file of a container that starts again: the runtime has written its first part anew.
func (k *Kernel) refresh(ctx context.Context, e network.Entry) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := k.Entries()
	if err != nil {
		return err
	}
	return writeHosts(e, all)
}

// Attach connects the namespace that Prepare has made. Where it fails, Detach removes what is there.
func (k *Kernel) Attach(ctx context.Context, o Order) (network.Entry, error) {
	unlock, err := k.lock(ctx)
	if err != nil {
		return network.Entry{}, err
	}
	held := true
	release := func() {
		if held {
			held = false
			unlock()
		}
	}
	defer release()
	e, first, err := k.settle(o)
	if err != nil {
		return e, err
	}
	if !first { // whoever makes a bridge keeps the lock until it is there
		release()
	}
	ports, err := k.hold(e)
	if err != nil {
		return e, err
	}
	defer ports.close()
	if err := k.connect(ctx, &e); err != nil {
		return e, err
	}
	if err := errors.Join(publish(ctx, e), k.serve(e, ports)); err != nil {
		return e, err
	}
	if !held {
		if unlock, err = k.lock(ctx); err != nil {
			return e, err
		}
		held = true
	}
	e.Ready = true
	if err := k.write(e); err != nil {
		return e, fmt.Errorf("note the network of container %s: %w", o.ID, err)
	}
	return e, k.tell(e)
}

// settle resolves the request and writes the journal; first is whether one of the bridges has to be made. The caller holds the
// lock.
func (k *Kernel) settle(o Order) (e network.Entry, first bool, err error) {
	others, err := k.Entries()
	if err != nil {
		return e, false, err
	}
	machine := network.Machine{Scope: k.StateDir, Free: func(b network.Binding) bool { return sockets.Busy(b) == nil }}
	if machine.Interfaces, err = Interfaces(); err != nil {
		return e, false, err
	}
	e = network.Entry{Namespace: o.Namespace, ID: o.ID, Owner: o.Owner, Request: o.Request, Hosts: o.Hosts, Since: time.Now().UnixNano()}
	if e, err = network.Resolve(e, others, machine); err != nil {
		return e, false, err
	}
	for _, l := range e.Links {
		if !made(l, others) {
			first = true
		}
	}
	if err := k.write(e); err != nil {
		return e, false, fmt.Errorf("note the network of container %s: %w", o.ID, err)
	}
	return e, first, nil
}

// made reports whether a container is on the bridge, complete: then its firewall rules are set too.
func made(l network.Link, others []network.Entry) bool {
	for _, o := range others {
		for _, have := range o.Links {
			if have.Bridge == l.Bridge && o.Ready {
				return true
			}
		}
	}
	return false
}

// connect calls CNI's plugins, and beside them sets the rules of networks that are new.
func (k *Kernel) connect(ctx context.Context, e *network.Entry) error {
	plugins, err := k.plugins(*e, firewalld("/"))
	if err != nil {
		return err
	}
	others, err := k.Entries()
	if err != nil {
		return err
	}
	allowed := make(chan error, len(e.Links))
	for _, l := range e.Links {
		go func() {
			if !l.Bridged() || made(l, others) {
				allowed <- nil
				return
			}
			allowed <- allow(ctx, l)
		}()
	}
	got, err := plugins.Setup(ctx, Key{e.Namespace, e.ID}.name(), k.namespacePath(Key{e.Namespace, e.ID}))
	for range e.Links {
		err = errors.Join(err, <-allowed)
	}
	if err != nil {
		return pluginError(e.ID, err)
	}
	for i := range e.Links {
		config := got.Interfaces[network.Interface(i)]
		if config == nil {
			return fmt.Errorf("connect container %s: CNI's plugins made no %s", e.ID, network.Interface(i))
		}
		e.Links[i].MAC, e.Links[i].IPs = config.Mac, nil
		for _, ip := range config.IPConfigs {
			if a, ok := netip.AddrFromSlice(ip.IP); ok {
				e.Links[i].IPs = append(e.Links[i].IPs, a.Unmap().String())
			}
		}
	}
	return nil
}

// tell brings the hosts files of the container and of its peers up to date. The caller holds the lock.
func (k *Kernel) tell(e network.Entry) error {
	all, err := k.Entries()
	if err != nil {
		return err
	}
	if err := writeHosts(e, all); err != nil {
		return err
	}
	for _, o := range all {
		if o.ID == e.ID || o.Namespace != e.Namespace || o.Hosts == "" {
			continue
		}
		if err := writeHosts(o, all); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.warn("tell a container of its peer", "container", o.ID, "peer", e.ID, "error", err)
		}
	}
	return nil
}

// Join binds the network namespace of a process, which belongs to the container target of the same namespace, for a container
// that shares it.
func (k *Kernel) Join(ctx context.Context, o Order, pid int) error {
	if err := k.Detach(ctx, o.Key); err != nil {
		return err
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	e := network.Entry{Schema: 1, Namespace: o.Namespace, ID: o.ID, Owner: o.Owner, Request: o.Request, Hosts: o.Hosts, Since: time.Now().UnixNano(), Ready: true}
	if err := k.write(e); err != nil {
		return fmt.Errorf("note the network of container %s: %w", o.ID, err)
	}
	if err := joinNamespace(pid, k.namespacePath(o.Key)); err != nil {
		return err
	}
	return k.tell(e)
}

// Detach removes what there is of the container's network, complete or half made, and the networks that nobody uses any more.
// It is idempotent.
func (k *Kernel) Detach(ctx context.Context, key Key) error {
	path := k.namespacePath(key)
	e, err := k.Entry(key)
	if errors.Is(err, fs.ErrNotExist) {
		return dropNamespace(path)
	}
	if err != nil {
		return err
	}
	if err := k.retract(ctx, e); err != nil {
		return err
	}
	var failed []error
	if len(e.Links) > 0 {
		failed = append(failed, k.disconnect(ctx, e, path))
	}
	failed = append(failed, dropNamespace(path))
	if err := errors.Join(failed...); err != nil {
		return err
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(k.journal(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := k.Entries()
	if err != nil {
		return err
	}
	for _, l := range e.Links {
		if err := k.retire(ctx, l, all); err != nil {
			return err
		}
	}
	_ = os.Remove(filepath.Dir(k.journal(key))) // if it was the last
	e.Hosts = ""
	return k.tell(e)
}

// retract takes the container's ports back, first of all: whoever waits for them gets them. From then on Heal leaves it alone.
func (k *Kernel) retract(ctx context.Context, e network.Entry) error {
	if len(e.Bindings) == 0 {
		return nil
	}
	if e.Ready {
		unlock, err := k.lock(ctx)
		if err != nil {
			return err
		}
		e.Ready = false
		err = k.write(e)
		unlock()
		if err != nil {
			return fmt.Errorf("note the network of container %s: %w", e.ID, err)
		}
	}
	return errors.Join(k.release(Key{e.Namespace, e.ID}), unpublish(ctx, e))
}

// disconnect calls CNI's plugins for the removal. They find by the container's ID what is theirs: leases, and the veth, where the
// namespace is still there.
func (k *Kernel) disconnect(ctx context.Context, e network.Entry, path string) error {
	e.Links = slices.Clone(e.Links)
	for i, l := range e.Links {
		if _, err := net.InterfaceByName(l.Parent); !l.Bridged() && err != nil {
			e.Links[i].Parent = "lo" // plugins want one that is there, to remove as well: the link has gone with its own
		}
	}
	if !isNamespace(path) {
		path = "" // "the runtime can't say": plugins remove what they can
	}
	remove := func(firewalld bool) error {
		plugins, err := k.plugins(e, firewalld)
		if err != nil {
			return err
		}
		return plugins.Remove(ctx, Key{e.Namespace, e.ID}.name(), path)
	}
	trusted := firewalld("/")
	err := remove(trusted)
	if err != nil && trusted { // it is there and does not answer: what it knows of the container is no reason to keep all the rest
		err = remove(false)
	}
	if err != nil {
		return pluginError(e.ID, err)
	}
	return nil
}

// retire removes a network that no container of all is on. The caller holds the lock.
func (k *Kernel) retire(ctx context.Context, l network.Link, all []network.Entry) error {
	for _, o := range all {
		for _, have := range o.Links {
			if have.Bridge == l.Bridge {
				return nil
			}
		}
	}
	if l.Bridged() {
		if err := errors.Join(disallow(ctx, l), removeBridge(l.Bridge)); err != nil {
			return err
		}
	}
	return os.RemoveAll(k.dir("leases", l.Bridge))
}

// plugins are CNI's, set up for the entry's links.
func (k *Kernel) plugins(e network.Entry, firewalld bool) (cni.CNI, error) {
	findPrograms()
	lists, err := e.Configurations(k.dir("leases"), firewalld)
	if err != nil {
		return nil, err
	}
	plugins, err := cni.New(cni.WithPluginDir(PluginDirs()), cni.WithMinNetworkCount(len(lists)))
	if err != nil {
		return nil, err
	}
	options := make([]cni.Opt, len(lists))
	for i, text := range lists {
		options[i] = cni.WithConfListBytes(text)
	}
	return plugins, plugins.Load(options...)
}
