package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type topOptions struct{ format, columns string }

func topCommand(s *session) *cli.Command {
	var o topOptions
	return &cli.Command{
		Name: "top", Category: "look", Usage: "list the processes of running containers", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Lists the processes of the containers, of all running ones without a NAME, as ps -ef does on the machine: the image needs no ps. PID and PPID are the machine's numbers; " +
				"users have the container's names. COLUMNS are ps's: " + strings.Join(topColumnNames(), ", ") + ".",
			examples: []string{"hostrun top dinov2", "hostrun top -o pid,cpid,pcpu,rss,args dinov2", "hostrun top --format json dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "columns", Aliases: []string{"o"}, Usage: "show `COLUMNS`, joined by commas", Value: "uid,pid,ppid,c,stime,tty,time,cmd", Destination: &o.columns},
			formatFlag(&o.format),
		},
		Action: action(func(ctx context.Context) error { return runTop(ctx, s, o) }),
	}
}

// A topColumn is one of ps's.
type topColumn struct {
	names []string // of -o; the first is the one that help tells
	title string
	cell  func(p runtime.Process, now time.Time) string
}

var topColumns = []topColumn{
	{[]string{"uid", "user", "euser", "uname"}, "UID", func(p runtime.Process, _ time.Time) string { return p.User }},
	{[]string{"pid", "tgid"}, "PID", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(p.PID) }},
	{[]string{"ppid"}, "PPID", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(p.PPID) }},
	{[]string{"cpid", "hpid"}, "CPID", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(p.ContainerPID) }},
	{[]string{"c"}, "C", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(min(int(p.CPUPercent), 99)) }},
	{[]string{"pcpu", "%cpu"}, "%CPU", func(p runtime.Process, _ time.Time) string { return fmt.Sprintf("%.1f", p.CPUPercent) }},
	{[]string{"pmem", "%mem"}, "%MEM", func(p runtime.Process, _ time.Time) string { return fmt.Sprintf("%.1f", p.MemoryShare) }},
	{[]string{"rss", "rssize", "rsz"}, "RSS", func(p runtime.Process, _ time.Time) string { return strconv.FormatInt(p.Memory>>10, 10) }},
	{[]string{"vsz", "vsize"}, "VSZ", func(p runtime.Process, _ time.Time) string { return strconv.FormatInt(p.Virtual>>10, 10) }},
	{[]string{"stat", "s", "state"}, "S", func(p runtime.Process, _ time.Time) string { return p.State }},
	{[]string{"ni", "nice"}, "NI", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(p.Nice) }},
	{[]string{"nlwp", "thcount"}, "NLWP", func(p runtime.Process, _ time.Time) string { return strconv.Itoa(p.Threads) }},
	{[]string{"stime", "start", "start_time", "bsdstart"}, "STIME", func(p runtime.Process, now time.Time) string { return startWords(p.StartedAt.Local(), now) }},
	{[]string{"etime"}, "ELAPSED", func(p runtime.Process, now time.Time) string { return clock(now.Sub(p.StartedAt), false) }},
	{[]string{"tty", "tt", "tname"}, "TTY", func(p runtime.Process, _ time.Time) string { return p.TTY }},
	{[]string{"time", "cputime"}, "TIME", func(p runtime.Process, _ time.Time) string {
		return clock(time.Duration(p.CPUSeconds*float64(time.Second)), true)
	}},
	{[]string{"comm", "ucmd"}, "COMMAND", func(p runtime.Process, _ time.Time) string { return p.Name }},
	{[]string{"cmd", "args", "command"}, "CMD", func(p runtime.Process, _ time.Time) string { return p.Command }},
}

func topColumnNames() []string {
	var names []string
	for _, c := range topColumns {
		names = append(names, c.names[0])
	}
	return names
}

func (o topOptions) table(now time.Time) (table[runtime.Process], error) {
	var chosen []topColumn
	t := table[runtime.Process]{header: []string{"NAME"}}
	for _, word := range strings.Split(o.columns, ",") {
		i := slices.IndexFunc(topColumns, func(c topColumn) bool { return slices.Contains(c.names, strings.TrimSpace(word)) })
		if i < 0 {
			return t, finding.Errorf(finding.StatusUsage, "those there are: "+strings.Join(topColumnNames(), ", "), "flag --columns: there is no column %q", word)
		}
		chosen = append(chosen, topColumns[i])
		t.header = append(t.header, topColumns[i].title)
	}
	t.cells = func(p runtime.Process) []string {
		cells := []string{p.Container}
		for _, c := range chosen {
			cells = append(cells, oneLine(c.cell(p, now)))
		}
		return cells
	}
	return t, nil
}

// oneLine keeps a command line that holds newlines from breaking the table.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

func runTop(ctx context.Context, s *session, o topOptions) error {
	words, err := s.names(wants{what: "container"}, false)
	if err != nil {
		return err
	}
	t, err := o.table(time.Now())
	if err != nil {
		return err
	}
	var chosen []resident
	if len(words) > 0 {
		if chosen, err = s.chosen(ctx, false); err != nil {
			return err
		}
	}
	if len(words) == 0 {
		all, err := s.list(ctx)
		if err != nil && len(all) == 0 {
			return err
		}
		for _, c := range all {
			if c.lives() {
				chosen = append(chosen, resident{c.Container.Container, c.client})
			}
		}
	}
	var all []runtime.Process
	found := make([][]runtime.Process, len(chosen))
	at := map[string]int{}
	for i, r := range chosen {
		at[r.name] = i
	}
	err = s.exceptIdle(s.onEach(ctx, chosen, func(client *runtime.Client, name string) (err error) {
		found[at[name]], err = client.Top(ctx, name)
		return err
	}))
	for _, some := range found {
		all = append(all, some...)
	}
	if len(all) == 0 && err != nil {
		return err
	}
	return severally([]error{show(s.stdout, o.format, all, t), err})
}

// startWords is the time of a start as ps says it: the hour today, the day before that.
func startWords(at, now time.Time) string {
	switch {
	case now.Sub(at) < 24*time.Hour && at.Day() == now.Day():
		return at.Format("15:04")
	case at.Year() == now.Year():
		return at.Format("Jan02")
	}
	return at.Format("2006")
}

// clock is [DD-]hh:mm:ss, of elapsed time without the hours where there are none.
func clock(d time.Duration, hours bool) string {
	seconds := int(max(d, 0) / time.Second)
	text := fmt.Sprintf("%02d:%02d", seconds/60%60, seconds%60)
	if hours || seconds >= 3600 {
		text = fmt.Sprintf("%02d:%s", seconds/3600%24, text)
	}
	if days := seconds / 86400; days > 0 {
		text = fmt.Sprintf("%d-%s", days, text)
	}
	return text
}
