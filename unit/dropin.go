package unit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hostrun.dev/hostrun/profiles"
)

// Options say what a drop-in has to tell besides the profile.
type Options struct {
	Program         string              // hostrun's absolute path
	ProfileDirs     []string            // absolute, or a stack's file; where the profile is found, if not where a service looks by itself
	Environment     []string            // NAME=VALUE, for hostrun itself
	EnvironmentFile string              // besides the template's; "" for none
	Version         int                 // of systemd; 0 for one that is not known
	User            bool                // for a person's own systemd
	Units           map[string][]string // names of units of profiles that have others than that of their name, as replicas have; nil for none
	Replica         int                 // of the profile, from 1; 0 for one that is alone
}

// spare is what a unit may use besides what its container may: the process that looks after it, with its proof.
const (
	spareMemory = 512 << 20 // bytes
	spareTasks  = 256
	spareStop   = 30 * time.Second // to undo the network, to note the end
)

// DropIn is what the profile says to systemd, as a file.
func DropIn(p *profiles.Profile, o Options) string {
	name := p.Name
	if o.Replica > 0 {
		name = fmt.Sprintf("%s-%d", p.Name, o.Replica)
	}
	var unit, service []string
	unitf := func(format string, args ...any) { unit = append(unit, fmt.Sprintf(format, args...)) }
	servicef := func(format string, args ...any) { service = append(service, fmt.Sprintf(format, args...)) }

	if paths := mountsFor(p); len(paths) > 0 {
		unitf("RequiresMountsFor=%s", strings.Join(paths, " "))
	}
	for _, d := range p.DependsOn {
		how := "Requires"
		if d.Optional {
			how = "Wants"
		}
		units := strings.Join(o.unitsOf(d.Name), " ")
		unitf("%s=%s\nAfter=%s", how, units, units)
	}
	policy, limits := restart(p)
	unit = append(unit, limits...)

	if len(o.ProfileDirs) > 0 || o.Replica > 0 {
		words := []string{value(o.Program)}
		for _, dir := range o.ProfileDirs {
			words = append(words, word("--profile-dir="+dir))
		}
		which := "%i"
		if o.Replica > 0 {
			which = fmt.Sprintf("--replica=%d %s", o.Replica, word(p.Name))
		}
		servicef("ExecStart=\nExecStart=%s --progress=plain --color=never up --supervise %s", strings.Join(words, " "), which)
	}
	if o.EnvironmentFile != "" {
		servicef("EnvironmentFile=-%s", specifiers(o.EnvironmentFile)) // the rest of the line: quotes would be part of it
	}
	for _, kv := range o.Environment {
		servicef("Environment=%s", value(kv))
	}
	if p.StopGracePeriod != nil || len(p.PreStop) > 0 {
		servicef("TimeoutStopSec=%s", span(StopTimeout(p)))
	}
	if policy != "" {
		servicef("Restart=%s", policy)
	}
	if o.Version >= 254 && policy != "no" { // systemd.service(5)
		servicef("RestartSteps=6\nRestartMaxDelaySec=5min")
	}
	if p.MemLimit > 0 {
		servicef("# The container has mem_limit for itself: the rest is for what looks after it.\nMemoryMax=%d", p.MemLimit+spareMemory)
	}
	if p.PidsLimit > 0 {
		servicef("TasksMax=%d", p.PidsLimit+spareTasks)
	}
	return file(name, p.File, unit, service)
}

// StopTimeout is how long the end of the profile's service may take: the grace, and what comes after it.
func StopTimeout(p *profiles.Profile) time.Duration {
	grace := 10 * time.Second // compose's default
	if p.StopGracePeriod != nil {
		grace = *p.StopGracePeriod
	}
	if len(p.PreStop) > 0 {
		grace *= 2 // they have as much
	}
	return grace + spareStop
}

// file puts the sections together.
func file(name, from string, unit, service []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s of %s: written by hostrun systemd install, which overwrites it.\n", DropInName, Name(name))
	fmt.Fprintf(&b, "# Put changes of your own into a file with a later name: systemctl edit %s\n", Name(name))
	fmt.Fprintf(&b, "# profile: %s\n", strings.ReplaceAll(from, "\n", " "))
	for _, section := range []struct {
		name  string
		lines []string
	}{{"Unit", unit}, {"Service", service}} {
		if len(section.lines) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n%s\n", section.name, strings.Join(section.lines, "\n"))
		}
	}
	return b.String()
}

func (o Options) unitsOf(profile string) []string {
	if names := o.Units[profile]; len(names) > 0 {
		return names
	}
	return []string{Name(profile)}
}

// mountsFor are the paths of the host that must be mounted before the start (systemd.unit(5), "RequiresMountsFor="), each once, sorted.
func mountsFor(p *profiles.Profile) []string {
	paths := []string{p.Python.Interpreter, p.CUDA}
	if filepath.IsAbs(p.File) {
		paths = append(paths, filepath.Dir(p.File))
	}
	for _, v := range p.Volumes {
		if v.Type == "bind" {
			paths = append(paths, v.Source)
		}
	}
	var words []string
	for _, path := range paths {
		if filepath.IsAbs(path) && !strings.ContainsAny(path, "\n\t") { // of which the list can hold none
			words = append(words, value(filepath.Clean(path)))
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// restart is the profile's policy in systemd's words; "" leaves the template's. A profile that says nothing of it is restarted after a
// failure, as a service is expected to be.
func restart(p *profiles.Profile) (policy string, limits []string) {
	name, times, _ := strings.Cut(p.Restart, ":")
	switch name {
	case "always", "unless-stopped":
		return "always", []string{"StartLimitIntervalSec=0"} // as in docker: it never gives up
	case "on-failure":
		if times != "" {
			var n int
			if _, err := fmt.Sscan(times, &n); err == nil {
				limits = []string{fmt.Sprintf("StartLimitBurst=%d", n+1)} // the first start counts, too
			}
		}
		return "on-failure", limits
	}
	if _, said := p.Lines["restart"]; said {
		return "no", nil
	}
	return "", nil
}

// span is a duration in systemd's words (systemd.time(7)).
func span(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}
