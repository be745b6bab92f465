package main

import (
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
)

// tuning is what the environment may change, for tests and for administrators.
type tuning struct {
	idle     time.Duration // HOSTRUN_ENGINE_IDLE, as in 90s
	logLevel string        // HOSTRUN_ENGINE_LOG: debug, info, warn or error
	gid      int           // of HOSTRUN_ENGINE_GROUP; -1 where there is no such group
}

func settings(env func(string) string) (tuning, error) {
	t := tuning{idle: 5 * time.Minute, logLevel: "info", gid: groupID(env("HOSTRUN_ENGINE_GROUP"))}
	if v := env("HOSTRUN_ENGINE_LOG"); v != "" {
		t.logLevel = v
	}
	v := env("HOSTRUN_ENGINE_IDLE")
	if v == "" {
		return t, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return t, finding.Errorf(finding.StatusUsage, "write it as in HOSTRUN_ENGINE_IDLE=5m", "start the private engine: HOSTRUN_ENGINE_IDLE=%q: not a duration above 0", v)
	}
	t.idle = d
	return t, nil
}

func groupID(name string) int {
	if name == "" {
		name = engine.DefaultGroup
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return gid
}

// keepLog writes the log to its file, of which there is one more, as large. Each plugin says that it is loaded; a start
// tells warnings alone.
func keepLog(l engine.Layout) {
	file := &boundedLog{path: l.LogFile(), most: 1 << 20, behind: []int{1, 2}}
	file.open()
	log.L.Logger.SetOutput(file)
	_ = log.SetLevel("warn") // a level of logrus
}

// A boundedLog is a file that is renamed when it is full. logrus serialises the writes.
type boundedLog struct {
	path       string
	most, size int64
	behind     []int // descriptors that lead to it too: standard output and error, where the Go runtime writes a crash
	file       *os.File
}

func (b *boundedLog) Write(p []byte) (int, error) {
	if b.size += int64(len(p)); b.size > b.most {
		b.open()
	}
	if b.file == nil {
		return os.Stderr.Write(p)
	}
	return b.file.Write(p)
}

// open begins the file anew if it is full. If that fails the engine goes on without: a log is not worth a container.
func (b *boundedLog) open() {
	if fi, err := os.Stat(b.path); err == nil && fi.Size() > b.most/2 {
		_ = os.Rename(b.path, b.path+".1")
	}
	file, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	if b.file != nil {
		_ = b.file.Close()
	}
	b.file, b.size = file, 0
	if fi, err := file.Stat(); err == nil {
		b.size = fi.Size()
	}
	for _, fd := range b.behind {
		_ = unix.Dup3(int(file.Fd()), fd, 0)
	}
}

// notifySystemd tells the service manager, if there is one, by its datagram socket (sd_notify(3)).
func notifySystemd(state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	_ = os.Unsetenv("NOTIFY_SOCKET")
	conn, err := net.Dial("unixgram", address)
	if err != nil {
		log.L.WithError(err).Warn("tell systemd that the engine is ready")
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
