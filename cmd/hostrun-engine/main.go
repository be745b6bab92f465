// Command hostrun-engine is the private engine: containerd's server with the parts that hostrun needs, for machines
// that have no containerd. `hostrun` starts it when it is first needed (package engine); it leaves when nothing has
// needed it for a while. Containers live under shims of their own and outlive it.
//
//	hostrun-engine --state /run/hostrun/engine --root /var/lib/hostrun/engine
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/engine"
)

var version = "unreleased" // set at link time

func main() {
	var l engine.Layout
	readyFD := flag.Int("ready-fd", -1, "write one line to this descriptor once the engine answers, or when it can't")
	flag.StringVar(&l.StateDir, "state", "/run/hostrun/engine", "what does not outlive a boot")
	flag.StringVar(&l.RootDir, "root", "/var/lib/hostrun/engine", "images, snapshots and records")
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println("hostrun-engine", version, "containerd", containerdVersion())
		return
	}
	parent := newParent(*readyFD)
	if err := run(l, parent); err != nil {
		log.L.Error(err)
		parent.report(err)
		os.Exit(1)
	}
}

// The collector waits until a start is over, and works at ease meanwhile: memory is given back when nobody works
// (watcher.until).
const (
	collectAtStart = 800
	collectAtWork  = 100
)

// run serves until the engine is idle or told to end. Containers go on.
func run(l engine.Layout, parent *parent) error {
	debug.SetGCPercent(collectAtStart)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l.LibexecDir = filepath.Dir(self)
	if path := os.Getenv("PATH"); !strings.HasPrefix(path, l.LibexecDir+":") { // started by hand
		_ = os.Setenv("PATH", engine.Path(l, path))
	}
	locks, err := engine.Reserve(l)
	if err != nil {
		return err
	}
	defer closeAll(locks)
	s, err := settings(os.Getenv)
	if err != nil {
		return err
	}
	return work(l, s, self, parent)
}

// work is run with the directories reserved.
func work(l engine.Layout, s tuning, self string, parent *parent) error {
	keepLog(l)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, unix.SIGTERM, unix.SIGINT)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)
	clients, err := engine.OpenClients(l, s.gid)
	if err != nil {
		return engine.Storage(l, err)
	}
	server, err := serve(context.Background(), l, s)
	if err != nil {
		return err
	}
	w := watcher{layout: l, self: self, stamp: engine.Stamp(self), clients: clients, idle: s.idle}
	if err := engine.Publish(l, engine.Record{PID: os.Getpid(), Version: version, Since: time.Now(), Stamp: w.stamp}); err != nil {
		return engine.Storage(l, err)
	}
	errands := serveErrands(l, s.gid)
	parent.report(nil)
	ready(s)
	why := w.until(ends)
	log.L.WithField("reason", why).Info("the private engine leaves; containers, if any, go on")
	removeSockets(l)
	if errands != nil {
		_ = errands.Close()
	}
	server.Stop()
	return nil
}

// ready ends what holds for the start alone.
func ready(s tuning) {
	debug.SetGCPercent(collectAtWork)
	if err := log.SetLevel(s.logLevel); err != nil {
		log.L.WithError(err).Warn("HOSTRUN_ENGINE_LOG")
	}
	log.L.WithFields(log.Fields{"version": version, "pid": os.Getpid(), "runtimes": runtimes()}).Info("the private engine is ready")
}

// serveErrands lets members of the group have commands run by the hostrun that was installed with this engine. That there
// is none costs them that, and nobody else.
func serveErrands(l engine.Layout, gid int) net.Listener {
	if gid < 0 {
		return nil
	}
	program := filepath.Join(l.LibexecDir, "hostrun") // as built; as installed it is PREFIX/bin/hostrun for PREFIX/lib/hostrun
	if _, err := os.Stat(program); err != nil {
		program = filepath.Join(l.LibexecDir, "..", "..", "bin", "hostrun")
	}
	listener, err := engine.ServeErrands(l, gid, program, func(uid uint32, args []string) {
		log.L.WithFields(log.Fields{"uid": uid, "args": args}).Info("run hostrun as root for a member of the group")
	})
	if err != nil {
		log.L.WithError(err).Warn("members of the group can't have commands run")
		return nil
	}
	return listener
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// A parent waits to hear that the engine is ready: the process that started it, systemd, or nobody.
type parent struct{ pipe *os.File }

func newParent(fd int) *parent {
	if fd < 0 {
		return &parent{}
	}
	unix.CloseOnExec(fd) // a shim that inherits it would keep the reader waiting
	return &parent{os.NewFile(uintptr(fd), "ready")}
}

func (p *parent) report(err error) {
	if p.pipe != nil {
		_ = json.NewEncoder(p.pipe).Encode(engine.NewReport(err)) // whoever waited may be gone
		_ = p.pipe.Close()
		p.pipe = nil
	}
	if err == nil {
		notifySystemd("READY=1")
	}
}
