package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// stormDevices is how many devices the storm is about: few, so that most of its processes want what others have.
const stormDevices = 8

// A gust is what one process of the storm is told.
type gust struct {
	Options runtime.Options
	Plan    plan.Plan
	Oracle  string // directory: a file a device, which whoever holds the device has locked
	Seed    uint64
	Until   int // allocations of all processes together
}

func init() {
	if len(os.Args) == 4 && os.Args[1] == "__gust" {
		if err := startGust(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func startGust(file, seed string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var g gust
	if err := json.Unmarshal(text, &g); err != nil {
		return err
	}
	if g.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return err
	}
	return g.blow()
}

// Kinds of the storm: single devices, and NPUs of which two are a card and are taken together.
const (
	stormSingles = "storm.example/acc"
	stormNPUs    = "storm.example/npu"
)

// stormInventory is 8 devices of which neighbours are linked, or are one card.
func stormInventory(kind string) devices.Inventory {
	inv := devices.Inventory{Kind: kind, Fingerprint: "storm"}
	for i := range stormDevices {
		d := devices.Device{Kind: inv.Kind, Name: fmt.Sprint(i), Index: i, NUMA: i / 4, Health: devices.Health{State: "ok"}}
		if kind == stormNPUs {
			d.Group = fmt.Sprintf("card %d", i/2)
		}
		inv.Devices = append(inv.Devices, d)
		if i%2 == 1 {
			inv.Links = append(inv.Links, devices.Link{A: fmt.Sprint(i - 1), B: fmt.Sprint(i), Kind: "NV4", Weight: 100})
		}
	}
	return inv
}

func stormLook(kind string) func(context.Context) ([]devices.Inventory, error) {
	return func(context.Context) ([]devices.Inventory, error) {
		return []devices.Inventory{stormInventory(kind)}, nil
	}
}

// oracleFile is what whoever holds a device has locked.
func oracleFile(d devices.Device) string { return filepath.Base(d.Kind) + d.Name }

// stormAsk is for one to three devices, by number or by name; of NPUs for one or two cards.
func stormAsk(r *rand.Rand) devices.Ask {
	if r.IntN(2) == 0 {
		ask := devices.Ask{Kind: stormNPUs, Count: 2 * (1 + r.IntN(2)), Key: "npus"}
		if r.IntN(3) == 0 {
			card := r.IntN(stormDevices / 2)
			ask.Count, ask.IDs = 0, []string{fmt.Sprint(2 * card), fmt.Sprint(2*card + 1)}
		}
		return ask
	}
	ask := devices.Ask{Kind: stormSingles, Count: 1 + r.IntN(3), Key: "gpus"}
	if r.IntN(3) == 0 {
		ask.Count, ask.IDs = 0, []string{fmt.Sprint(r.IntN(stormDevices))}
	}
	return ask
}

// wholeCards reports whether no card was taken in part.
func wholeCards(chosen []devices.Device) bool {
	dies := map[string]int{}
	for _, d := range chosen {
		dies[d.Group]++
	}
	for group, n := range dies {
		if group != "" && n != 2 {
			return false
		}
	}
	return true
}

// blow takes and gives devices until there have been enough of it: some for a moment, some for a container that runs.
func (g gust) blow() error {
	ctx := context.Background()
	c, err := runtime.Open(ctx, g.Options)
	for try := 0; finding.StatusOf(err) == finding.StatusTryAgain && try < 100; try++ { // a containerd that 64 processes keep busy may answer late
		time.Sleep(time.Second)
		c, err = runtime.Open(ctx, g.Options)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	r := rand.New(rand.NewPCG(g.Seed, uint64(os.Getpid())))
	for n := 0; g.counted() < g.Until; n++ {
		err := g.once(ctx, c, r, fmt.Sprintf("s%d-%d", os.Getpid(), n))
		if err != nil && finding.StatusOf(err) != finding.StatusTryAgain { // as above: what such a command has begun, it has undone
			return err
		}
	}
	return nil
}

func (g gust) counted() int {
	fi, err := os.Stat(filepath.Join(g.Oracle, "count"))
	if err != nil {
		return 0
	}
	return int(fi.Size())
}

func (g gust) count() error {
	f, err := os.OpenFile(filepath.Join(g.Oracle, "count"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte("."))
	return err
}

func (g gust) once(ctx context.Context, c *runtime.Client, r *rand.Rand, id string) error {
	ask := stormAsk(r)
	want := runtime.Want{Container: id, Asks: []devices.Ask{ask}, Look: stormLook(ask.Kind)}
	if r.IntN(4) == 0 {
		want.Wait = time.Duration(r.IntN(2000)) * time.Millisecond
	}
	got, err := c.Reserve(ctx, want)
	if err != nil {
		return err
	}
	defer c.Unreserve(id)
	if stop := finding.Errors(got.Findings); len(stop) > 0 {
		if finding.ExitStatus(stop) != finding.StatusTryAgain {
			return errors.New(stop[0].Message)
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		return nil
	}
	if !wholeCards(got.Chosen[0]) {
		return fmt.Errorf("half a card: %+v", got.Chosen[0])
	}
	if err := g.count(); err != nil {
		return err
	}
	if r.IntN(10) != 0 {
		return g.hold(got.Chosen[0], time.Duration(r.IntN(5))*time.Millisecond)
	}
	return g.contain(ctx, c, r, id, got)
}

// hold is a command between its choice and the record: nobody else may have the device meanwhile.
func (g gust) hold(chosen []devices.Device, long time.Duration) error {
	for _, d := range chosen {
		f, err := os.OpenFile(filepath.Join(g.Oracle, oracleFile(d)), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return os.WriteFile(filepath.Join(g.Oracle, "violation-"+oracleFile(d)), fmt.Appendf(nil, "by process %d: %v", os.Getpid(), err), 0o600)
		}
	}
	time.Sleep(long)
	return nil
}

// contain starts a container with the devices, and sometimes stops it, starts it again, or leaves it to run.
func (g gust) contain(ctx context.Context, c *runtime.Client, r *rand.Rand, id string, got *runtime.Reservation) error {
	pl := g.Plan
	pl.ID, pl.Labels = id, map[string]string{}
	for k, v := range g.Plan.Labels {
		pl.Labels[k] = v
	}
	pl.Labels[plan.LabelDevices] = devices.FormatLeases(devices.Leases([]devices.Grant{{Ask: devices.Ask{}, Chosen: got.Chosen[0]}}, id))
	spec, process, linux := *g.Plan.Spec, *g.Plan.Spec.Process, *g.Plan.Spec.Linux
	process.Args = []string{"/bin/holder"}
	for _, d := range got.Chosen[0] {
		process.Args = append(process.Args, "/oracle/"+oracleFile(d))
	}
	linux.CgroupsPath = "/" + g.Options.Namespace + "/" + id
	spec.Process, spec.Linux, pl.Spec, pl.Files = &process, &linux, &spec, nil
	if _, err := c.Up(ctx, pl, false); err != nil {
		return fmt.Errorf("up %s: %w", id, err)
	}
	time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
	if r.IntN(3) == 0 {
		now := time.Duration(0)
		if err := c.Stop(ctx, id, &now); err != nil {
			return err
		}
		if err := c.Start(ctx, id); err != nil && finding.StatusOf(err) != finding.StatusTryAgain {
			return fmt.Errorf("start %s: %w", id, err)
		}
	}
	if r.IntN(4) == 0 {
		if err := g.replace(ctx, c, pl, got.Chosen[0]); err != nil {
			return err
		}
	}
	now := time.Duration(0)
	return c.Down(ctx, id, &now)
}

// replace makes the container anew with the devices that it has, as up does after a change: the new process is there when the old
// one has let go, or it finds the locks taken. That is the law of the NPUs' driver, too, which refuses a second mount namespace.
func (g gust) replace(ctx context.Context, c *runtime.Client, pl plan.Plan, chosen []devices.Device) error {
	ask := devices.Ask{Kind: chosen[0].Kind, Key: "devices"}
	for _, d := range chosen {
		ask.IDs = append(ask.IDs, d.Name)
	}
	again, err := c.Reserve(ctx, runtime.Want{Container: pl.ID, Asks: []devices.Ask{ask}, Look: stormLook(ask.Kind)})
	if err != nil || len(finding.Errors(again.Findings)) > 0 { // stopped, and others have them
		return err
	}
	if _, err := c.Up(ctx, pl, true); err != nil {
		return fmt.Errorf("replace %s: %w", pl.ID, err)
	}
	return nil
}

// TestLeaseStorm: 64 processes take GPUs, and NPUs by whole cards, at random and are killed at random; no device is ever held twice, and none is lost.
// `make storm` makes 10,000 allocations of it.
func TestLeaseStorm(t *testing.T) {
	until := 200
	if n, err := strconv.Atoi(os.Getenv("HOSTRUN_STORM")); err == nil {
		until = n
	}
	w := newWorld(t, fixture.StartContainerd(t, fixture.Engines(t)[0].Binary))
	holder, err := built("holder", []string{"CGO_ENABLED=0"}, "build", "hostrun.dev/hostrun/integration/storm/holder")
	must(t, err)
	img := fixture.BusyboxImage(t, busybox)
	body, err := os.ReadFile(holder)
	must(t, err)
	img.Layers[0] = append(img.Layers[0], fixture.Entry{Name: "bin/holder", Mode: 0o755, Body: body}, fixture.Entry{Name: "oracle", Dir: true, Mode: 0o755})
	w.load(img)
	oracle := w.ctrd.Path("oracle")
	must(t, os.MkdirAll(oracle, 0o755))
	pl := quick(w.plan("storm"))
	pl.Spec.Mounts = append(pl.Spec.Mounts, specs.Mount{Destination: "/oracle", Type: "bind", Source: oracle, Options: []string{"rbind", "rw"}})
	file := w.ctrd.Path("gust.json")
	text, err := json.Marshal(map[string]any{"Options": map[string]string{"Address": w.opt.Address, "Namespace": w.opt.Namespace, "StateDir": w.opt.StateDir,
		"DataDir": w.opt.DataDir, "LibexecDir": w.opt.LibexecDir}, "Plan": pl, "Oracle": oracle, "Until": until})
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))

	w.storm(file, gust{Oracle: oracle, Until: until})
	violations, err := filepath.Glob(filepath.Join(oracle, "violation-*"))
	must(t, err)
	for _, v := range violations {
		text, _ := os.ReadFile(v)
		t.Errorf("device held twice: %s: %s", filepath.Base(v), text)
	}
	w.allFree()
}

// storm runs 64 processes until there have been enough allocations; one that is killed is followed by another.
func (w *world) storm(file string, g gust) {
	processes := 64
	if n, err := strconv.Atoi(os.Getenv("HOSTRUN_STORM_PROCESSES")); err == nil {
		processes = n
	}
	type child struct {
		cmd    *exec.Cmd
		killed bool
	}
	ended := make(chan *child, processes)
	var living []*child
	seed, kills := 0, 0
	begin := func() {
		seed++
		c := &child{cmd: exec.Command(os.Args[0], "__gust", file, fmt.Sprint(seed))}
		c.cmd.Stderr = os.Stderr
		ok(w.t, c.cmd.Start())
		living = append(living, c)
		go func() { _ = c.cmd.Wait(); ended <- c }()
	}
	for range processes {
		begin()
	}
	r := rand.New(rand.NewPCG(1, 2))
	patience := 15*time.Minute + time.Duration(g.Until)*500*time.Millisecond // `make storm` takes its hour where others use the machine, too
	for deadline := time.After(patience); len(living) > 0; {
		select {
		case c := <-ended:
			for i := range living {
				if living[i] == c {
					living = append(living[:i], living[i+1:]...)
					break
				}
			}
			if status := c.cmd.ProcessState; !c.killed && !status.Success() {
				w.t.Errorf("a process of the storm failed: %v", status)
			}
			if g.counted() < g.Until && !w.t.Failed() {
				begin()
			}
		case <-time.After(time.Duration(100+r.IntN(500)) * time.Millisecond):
			if len(living) > 0 && g.counted() < g.Until {
				victim := living[r.IntN(len(living))]
				victim.killed = true
				_ = victim.cmd.Process.Signal(syscall.SIGKILL)
				kills++
			}
		case <-deadline:
			w.t.Fatal("the storm does not end")
		}
	}
	w.t.Logf("%d allocations by %d processes, %d of them killed", g.counted(), seed, kills)
}

// allFree ends what killed processes have left running, and takes every device at once.
func (w *world) allFree() {
	ctx, now := context.Background(), time.Duration(0)
	ok(w.t, w.c.Sweep(ctx)) // else what is half made would be listed, too
	all, err := w.c.List(ctx, true)
	ok(w.t, err)
	for _, c := range all {
		if err := w.c.Down(ctx, c.Container, &now); err != nil && !errors.Is(err, runtime.ErrNoContainer) {
			w.t.Error(err)
		}
	}
	for _, kind := range []string{stormSingles, stormNPUs} {
		want := runtime.Want{Container: "last", Asks: []devices.Ask{{Kind: kind, All: true}}, Look: stormLook(kind)}
		w.eventually("all devices are free", func() error {
			got, err := w.c.Reserve(ctx, want)
			if err != nil {
				return err
			}
			defer w.c.Unreserve("last")
			if stop := finding.Errors(got.Findings); len(stop) > 0 || len(got.Chosen[0]) != stormDevices {
				return fmt.Errorf("%+v", got.Findings)
			}
			return nil
		})
	}
	w.eventually("nothing is left", func() error {
		ok(w.t, w.c.Sweep(ctx)) // as each command: containerd may go on with the call of a killed one, and undo it, when the container has been ended here
		l := w.leaks()
		l.Files = slices.DeleteFunc(l.Files, func(f string) bool { // lock files of devices stay, and those of names whose process was killed
			return strings.HasPrefix(f, "/devices/") || strings.HasPrefix(f, "/locks/")
		})
		if text := l.String(); text != "" {
			return errors.New("left behind:\n" + text)
		}
		return nil
	})
}
