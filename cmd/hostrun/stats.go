package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type statsOptions struct {
	all, once bool
	format    string
	every     time.Duration
}

func statsCommand(s *session) *cli.Command {
	var o statsOptions
	return &cli.Command{
		Name: "stats", Category: "look", Usage: "show what running containers use", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Shows what the containers' processes use of processors, memory, network, disks, GPUs and NPUs, again and again until ^C. The columns are docker's; DEVICES is which of the machine's, UTIL is how busy they are on average, " +
				"DEVICE MEM what is used and there, by whoever uses it. ENERGY is what they have taken since this command began. A dash stands for what nobody counts: the network of a container that has the host's.",
			examples: []string{"hostrun stats", "hostrun stats --no-stream --format json train", "hostrun stats --format '{{.container}} {{.cpu_percent}}'"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show those that do not run, too", Destination: &o.all},
			&cli.BoolFlag{Name: "no-stream", Usage: "measure once, for a moment, and end", Destination: &o.once},
			&cli.DurationFlag{Name: "interval", Usage: "measure every `DURATION`", Value: time.Second, Destination: &o.every},
			formatFlag(&o.format),
			taken("no-trunc"),
		},
		Action: action(func(ctx context.Context) error { return runStats(ctx, s, o) }),
	}
}

// A statsLine is one object of stats --format json; the form is part of the contract. What is not known is absent.
type statsLine struct {
	Schema      int           `json:"schema"` // 1
	Container   string        `json:"container"`
	Profile     string        `json:"profile"`
	CPUPercent  *float64      `json:"cpu_percent,omitempty"`  // of one processor
	MemoryUsage *int64        `json:"memory_usage,omitempty"` // bytes
	MemoryLimit *int64        `json:"memory_limit,omitempty"`
	NetRx       *int64        `json:"net_rx,omitempty"` // bytes
	NetTx       *int64        `json:"net_tx,omitempty"`
	BlockRead   *int64        `json:"block_read,omitempty"`
	BlockWrite  *int64        `json:"block_write,omitempty"`
	PIDs        *int64        `json:"pids,omitempty"`
	Devices     []deviceStats `json:"devices"`

	label string // the devices' numbers
}

// A deviceStats is what one device is doing.
type deviceStats struct {
	Name        string   `json:"name"`                  // kind=name
	Utilization *int     `json:"utilization,omitempty"` // per cent
	MemoryUsed  int64    `json:"memory_used,omitempty"` // bytes
	Memory      int64    `json:"memory,omitempty"`
	Watts       float64  `json:"watts,omitempty"`
	Joules      *float64 `json:"joules,omitempty"` // since stats began; of the whole device
}

// busyness is what facts of devices say of the moment, in the words that all kinds use.
type busyness struct {
	MemoryUsed  int64  `json:"memory_used"`
	Utilization *int   `json:"utilization"`
	Power       uint32 `json:"power"`  // mW
	Energy      uint64 `json:"energy"` // mJ since some moment
}

// Counters are what was counted at one moment.
type counters struct {
	at      time.Time
	usage   map[string]runtime.Usage // by container
	devices map[string]busyDevice    // by qualified name
}

type busyDevice struct {
	busyness
	memory int64
}

func runStats(ctx context.Context, s *session, o statsOptions) error {
	names, err := s.names(wants{what: "container"}, false)
	if err != nil {
		return err
	}
	if o.every < 100*time.Millisecond {
		return finding.Errorf(finding.StatusUsage, "measure less often: --interval 1s", "flag --interval: %v is less than 100ms", o.every)
	}
	var first, last counters
	for {
		all, err := s.statsOf(ctx, names, o)
		if err != nil {
			return err
		}
		now := s.count(ctx, all)
		if first.at.IsZero() { // a share of processors takes two moments
			first, last = now, now
			if err := sleep(ctx, min(o.every, time.Second)); err != nil {
				return nil
			}
			continue
		}
		if err := o.show(s, statsLines(all, first, last, now)); err != nil || o.once {
			return err
		}
		last = now
		if sleep(ctx, o.every) != nil {
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// statsOf are the containers that are asked for, by name; without names those that run.
func (s *session) statsOf(ctx context.Context, names []string, o statsOptions) ([]listed, error) {
	all, trouble := s.list(ctx)
	if trouble != nil && len(all) == 0 {
		return nil, trouble
	}
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(c listed) bool { return !o.all && !c.lives() }), nil
	}
	var some []listed
	chosen, err := s.chosen(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, r := range chosen {
		i := slices.IndexFunc(all, func(c listed) bool { return c.Container.Container == r.name })
		if i < 0 {
			return nil, finding.Errorf(finding.StatusFailed, "hostrun ps -a lists the containers", "container %s: %w", r.name, runtime.ErrNoContainer)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// count reads the kernel's counters, and asks the vendors' libraries where a container has devices that they know.
func (s *session) count(ctx context.Context, all []listed) counters {
	c := counters{at: time.Now(), usage: map[string]runtime.Usage{}, devices: map[string]busyDevice{}}
	kinds := map[string]bool{}
	for _, one := range all {
		if u, err := runtime.UsageOf(s.root, one.PID); err == nil && one.PID > 0 {
			c.usage[one.Container.Container] = u
		}
		for _, n := range one.DeviceNumbers {
			kinds[n.Kind] = true
		}
	}
	e := s.equipment(nil)
	for kind := range kinds {
		inv, err := e.look(ctx, kind, false, devices.Needs{Health: true})
		if err != nil {
			s.log.Debug("ask what devices do", "kind", kind, "error", err)
		}
		for _, d := range inv.Devices {
			b := busyDevice{memory: d.Memory}
			_ = json.Unmarshal(d.Facts, &b.busyness) // a kind that has other words says nothing
			c.devices[kind+"="+d.Name] = b
		}
	}
	return c
}

// statsLines compares two moments; energy is since the first.
func statsLines(all []listed, first, last, now counters) []statsLine {
	lines := make([]statsLine, 0, len(all))
	for _, c := range all {
		l := statsLine{Schema: 1, Container: c.Container.Container, Profile: c.Profile, Devices: []deviceStats{}, label: deviceList(c.Container)}
		if u, ok := now.usage[l.Container]; ok {
			l.use(u)
			if before, ok := last.usage[l.Container]; ok && u.CPU >= before.CPU && before.CPU >= 0 && now.at.After(last.at) {
				share := math.Round(1e4*float64(u.CPU-before.CPU)/float64(now.at.Sub(last.at))) / 100
				l.CPUPercent = &share
			}
		}
		for _, n := range c.DeviceNumbers {
			name := n.Kind + "=" + n.Name
			l.Devices = append(l.Devices, statsOfDevice(name, first.devices[name], now.devices[name]))
		}
		lines = append(lines, l)
	}
	return lines
}

func (l *statsLine) use(u runtime.Usage) {
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	l.MemoryUsage, l.MemoryLimit, l.NetRx, l.NetTx = known(u.Memory), known(u.MemoryLimit), known(u.NetRx), known(u.NetTx)
	l.BlockRead, l.BlockWrite, l.PIDs = known(u.BlockRead), known(u.BlockWrite), known(u.PIDs)
}

func statsOfDevice(name string, first, now busyDevice) deviceStats {
	d := deviceStats{Name: name, Utilization: now.Utilization, MemoryUsed: now.MemoryUsed, Memory: now.memory, Watts: float64(now.Power) / 1000}
	if first.Energy > 0 && now.Energy >= first.Energy {
		joules := float64(now.Energy-first.Energy) / 1000
		d.Joules = &joules
	}
	return d
}

func (o statsOptions) show(s *session, lines []statsLine) error {
	if f, ok := s.stdout.(*os.File); ok && !o.once && o.format == "table" && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.stdout, "\x1b[H\x1b[J") // from the top again
	}
	return show(s.stdout, o.format, lines, statsTable())
}

func statsTable() table[statsLine] {
	return table[statsLine]{
		header: []string{"NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS", "DEVICES", "UTIL", "DEVICE MEM", "POWER", "ENERGY"},
		cells: func(l statsLine) []string {
			return append([]string{l.Container, percent(l.CPUPercent), pair(l.MemoryUsage, l.MemoryLimit, binary), memoryShare(l), pair(l.NetRx, l.NetTx, decimal),
				pair(l.BlockRead, l.BlockWrite, decimal), whole(l.PIDs), dash(l.label)}, deviceCells(l.Devices)...)
		},
	}
}

func percent(p *float64) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", *p)
}

func memoryShare(l statsLine) string {
	if l.MemoryUsage == nil || l.MemoryLimit == nil || *l.MemoryLimit == 0 {
		return "-"
	}
	share := 100 * float64(*l.MemoryUsage) / float64(*l.MemoryLimit)
	return percent(&share)
}

// Docker counts memory in MiB, and what flows in MB.
func binary(n int64) string  { return units.BytesSize(float64(n)) }
func decimal(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func pair(a, b *int64, words func(int64) string) string {
	one, other := "-", "-"
	if a != nil {
		one = words(*a)
	}
	if b != nil {
		other = words(*b)
	}
	if one == "-" && other == "-" {
		return "-"
	}
	return one + " / " + other
}

func whole(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// deviceCells are utilisation on average, memory, power and energy in all.
func deviceCells(all []deviceStats) []string {
	var busy, known, counts int
	var used, memory int64
	var watts, joules float64
	for _, d := range all {
		if d.Utilization != nil {
			busy, known = busy+*d.Utilization, known+1
		}
		if d.Joules != nil {
			joules, counts = joules+*d.Joules, counts+1
		}
		used, memory, watts = used+d.MemoryUsed, memory+d.Memory, watts+d.Watts
	}
	cells := []string{"-", "-", "-", "-"}
	if known > 0 {
		cells[0] = fmt.Sprintf("%d%%", busy/known)
	}
	if used > 0 && memory > 0 {
		cells[1] = binary(used) + " / " + binary(memory)
	}
	if watts > 0 {
		cells[2] = fmt.Sprintf("%.0f W", watts)
	}
	if counts > 0 {
		cells[3] = energy(joules)
	}
	return cells
}

func energy(joules float64) string {
	if joules < 36000 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", joules), ".0") + " J"
	}
	return fmt.Sprintf("%.1f Wh", joules/3600)
}
