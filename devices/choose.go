package devices

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A State is who has what of one kind at the moment of a choice.
type State struct {
	Held []Lease // of other containers that run or are being made
	// Taken are being given to another container by a command that runs at this moment.
	Taken []string
	// Claimed are kept for containers that have waited longer: name -> container.
	Claimed map[string]string
	// Keep are those that the container's record names: it gets them again, if they are free and what it asks for. Now are those of
	// them that it holds at this moment: neither claims nor users stand against them.
	Keep, Now []string
}

// Choose picks devices for the asks of one container, all of the inventory's kind: chosen[i] is for asks[i]. Where it can't, the
// findings say why not, all at once: what is absent ends a start with status 69, what others have with 75. It is
// pure, and picks the same for the same arguments: devices that are close to each other and leave groups of
// close ones whole for later.
func Choose(inv Inventory, asks []Ask, st State) (chosen [][]Device, found []finding.Finding) {
	c := &chooser{inv: inv, st: st, used: map[string]bool{}}
	chosen = make([][]Device, len(asks))
	for _, turn := range []func(Ask) bool{ // what leaves no choice goes first
		func(a Ask) bool { return len(a.IDs) > 0 },
		func(a Ask) bool { return len(a.IDs) == 0 && a.All },
		func(a Ask) bool { return len(a.IDs) == 0 && !a.All },
	} {
		for i, a := range asks {
			if turn(a) {
				c.ask = a
				chosen[i] = c.choose()
				c.take(chosen[i])
				c.warnOfIll(chosen[i])
			}
		}
	}
	return chosen, c.found
}

type chooser struct {
	inv   Inventory
	st    State
	ask   Ask
	used  map[string]bool // by an ask before this one
	found []finding.Finding
}

func (c *chooser) choose() []Device {
	switch {
	case len(c.ask.IDs) > 0:
		return c.named()
	case c.ask.All:
		return c.all()
	}
	return c.counted()
}

func (c *chooser) take(all []Device) {
	for _, d := range all {
		for _, name := range c.relatives(d) {
			c.used[name] = true
		}
	}
}

// warnOfIll tells of devices that have fallen ill under the container that holds them.
func (c *chooser) warnOfIll(all []Device) {
	for _, d := range all {
		if ill := illness(d); ill != "" {
			c.found = append(c.found, finding.Finding{ID: finding.DeviceUnfit, Severity: finding.Warning, Subject: c.title(d), Got: ill,
				Message: fmt.Sprintf("the container holds %s, and %s", c.title(d), ill), Remedy: "end the container; the next up takes others", File: c.ask.File, Line: c.ask.Line})
		}
	}
}

// relatives are the names of d itself, of the whole that it is a part of, and of its parts: who holds one can't hold another.
func (c *chooser) relatives(d Device) []string {
	names := []string{d.Name}
	if d.Parent != "" {
		names = append(names, d.Parent)
	}
	for _, o := range c.inv.Devices {
		if o.Parent == d.Name {
			names = append(names, o.Name)
		}
	}
	return names
}

// report adds a finding about the ask.
func (c *chooser) report(id, subject, got, message, remedy string) {
	f := finding.Finding{ID: id, Severity: finding.Error, Subject: subject, Got: got, Message: message, Remedy: remedy}
	if finding.Explain(id).ExitStatus == finding.StatusNoDevice { // what is busy is worth waiting for
		if cause := finding.Errors(c.inv.Findings); len(cause) > 0 {
			f = cause[0]
		}
		if c.ask.Optional {
			f.ID, f.Severity, f.Remedy = finding.DeviceOptional, finding.Info, ""
			f.Message += "; the container runs without, as optional: says"
		}
	}
	f.File, f.Line = c.ask.File, c.ask.Line
	if !slices.Contains(c.found, f) {
		c.found = append(c.found, f)
	}
}

// named gives exactly the devices that the profile names.
func (c *chooser) named() []Device {
	var chosen []Device
	var unknown []string
	before := len(c.found)
	for _, id := range c.ask.IDs {
		matches := Find(c.inv, id)
		switch {
		case len(matches) == 0:
			unknown = append(unknown, id)
		case len(matches) > 1:
			c.report(finding.DeviceGrouping, id, "", fmt.Sprintf("%q names several: %s", id, c.list(matches)), "name one of them")
		case c.used[matches[0].Name], slices.ContainsFunc(chosen, func(d Device) bool { return slices.Contains(c.relatives(d), matches[0].Name) }):
			c.report(finding.DeviceGrouping, id, "", fmt.Sprintf("%s is asked for twice", c.title(matches[0])), "remove one of the two")
		default:
			chosen = append(chosen, matches[0])
		}
	}
	c.unknown(unknown)
	if len(c.found) > before {
		return nil
	}
	c.checkGroups(chosen)
	c.checkUsable(chosen)
	if len(c.found) > before {
		return nil
	}
	return chosen
}

// unknown tells of names that nothing has, all in one: a range may name hundreds.
func (c *chooser) unknown(ids []string) {
	if len(ids) == 0 {
		return
	}
	var known, words []string
	for _, d := range c.inv.Devices {
		known = append(known, c.short(d))
		words = append(append(words, d.Name), d.Aliases...)
	}
	has := strings.Join(known, ", ")
	if has == "" {
		has = "none"
	}
	remedy := "hostrun devices lists them"
	first := ids[0]
	if near := finding.Nearest(first, words, 1); len(near) > 0 && len(first) > 2 { // a number is no misspelling of another
		remedy = "did you mean " + near[0] + "? hostrun devices lists them"
	}
	for _, d := range c.inv.Devices { // the number in a node's name is not its NPU's on the newest chips
		if slices.Contains(d.Aliases, "davinci"+first) {
			remedy = fmt.Sprintf("write %s for /dev/davinci%s: %s goes by the node's number; hostrun devices --wide shows both", d.Name, first, Noun(c.inv.Kind))
		}
	}
	const most = 5
	told := strings.Join(ids[:min(len(ids), most)], ", ")
	if more := len(ids) - most; more > 0 {
		told += fmt.Sprintf(" and %d more", more)
	}
	message := fmt.Sprintf("there is no %s %s: this machine has %s", Noun(c.inv.Kind), told, has)
	if c.inv.Unasked != "" && slices.ContainsFunc(ids, func(id string) bool { return strings.Trim(id, "0123456789") != "" }) {
		message += "; names that only the driver's library knows are not known: " + c.inv.Unasked
	}
	c.report(finding.DeviceUnknown, told, c.total(), message, remedy)
}

// checkGroups refuses a part of what must be taken whole.
func (c *chooser) checkGroups(chosen []Device) {
	told := map[string]bool{}
	for _, d := range chosen {
		if d.Group == "" || told[d.Group] {
			continue
		}
		told[d.Group] = true
		var missing []Device
		for _, o := range c.inv.Devices {
			if o.Group == d.Group && !slices.ContainsFunc(chosen, func(x Device) bool { return x.Name == o.Name }) {
				missing = append(missing, o)
			}
		}
		if len(missing) > 0 {
			c.report(finding.DeviceGrouping, c.title(d), "", fmt.Sprintf("%s can't be given without %s: they are one card (%s)", c.title(d), c.list(missing), d.Group),
				"ask for both: "+strings.Join(append(c.names(chosen), c.names(missing)...), ", "))
		}
	}
}

// checkUsable tells of each device that can't be given.
func (c *chooser) checkUsable(chosen []Device) {
	for _, d := range chosen {
		if why := c.unfit(d); why != "" {
			c.report(finding.DeviceUnfit, c.title(d), why, fmt.Sprintf("%s can't be given: %s", c.title(d), why), "name another one; hostrun devices lists them")
		} else if o := c.obstacle(d); o != nil {
			c.blocked([]obstacle{*o})
		} else if c.divided(d) && !slices.Contains(c.st.Now, d.Name) {
			c.report(finding.DeviceUnfit, c.title(d), "it is divided into partitions", fmt.Sprintf("%s can't be given as a whole: it is divided into partitions", c.title(d)),
				"name partitions of it: "+c.list(c.parts(d)))
		}
	}
}

// all gives every whole device that works and is not divided; where all are divided, their partitions; with partition, every partition of that
// profile.
func (c *chooser) all() []Device {
	var chosen []Device
	var stand []obstacle
	some, divided := c.every()
	c.found = append(c.found, divided...)
	for _, d := range some {
		if c.used[d.Name] {
			continue
		}
		why := c.unfit(d)
		switch o := c.obstacle(d); {
		case strings.HasPrefix(why, badHealth):
			c.found = append(c.found, finding.Finding{ID: finding.DeviceUnfit, Severity: finding.Warning, Subject: c.title(d), Got: why,
				Message: fmt.Sprintf("%s is left out of all: %s", c.title(d), why), Remedy: "repair it, or name those that are meant", File: c.ask.File, Line: c.ask.Line})
		case why != "":
		case o != nil:
			stand = append(stand, *o)
		default:
			chosen = append(chosen, d)
		}
	}
	chosen = c.wholeGroups(chosen, len(stand) > 0)
	switch {
	case len(stand) > 0:
		c.blocked(stand)
		return nil
	case len(chosen) == 0:
		c.tooFew(0)
	}
	if c.ask.SameLink && len(chosen) > 1 && !c.linked(chosen) {
		c.report(finding.DeviceUnfit, c.ask.Key, "", fmt.Sprintf("the %d %s of this machine are not one fast interconnect group", len(chosen), Nouns(c.inv.Kind)), "ask for a number of them")
		return nil
	}
	return chosen
}

// every is what all stands for, and a warning for each device that is left out because it is divided.
func (c *chooser) every() (some []Device, divided []finding.Finding) {
	if c.ask.Partition != "" {
		return c.sort(), nil
	}
	for _, d := range c.sort() {
		if !c.divided(d) {
			some = append(some, d)
			continue
		}
		divided = append(divided, finding.Finding{ID: finding.DeviceUnfit, Severity: finding.Warning, Subject: c.title(d), Got: "it is divided into partitions",
			Message: fmt.Sprintf("%s is left out of all: it is divided into partitions, which are asked for by name or by profile", c.title(d)),
			Remedy:  "name its partitions, or those that are meant; hostrun devices lists them", File: c.ask.File, Line: c.ask.Line})
	}
	if len(some) == 0 && len(divided) > 0 {
		for _, d := range c.inv.Devices {
			if d.Parent != "" {
				some = append(some, d)
			}
		}
		return some, nil
	}
	return some, divided
}

// wholeGroups leaves out what can't be taken because a device of its group does not work: the other die of a card.
func (c *chooser) wholeGroups(chosen []Device, blocked bool) []Device {
	if blocked { // all of them are refused
		return chosen
	}
	var whole []Device
	for _, u := range c.units(chosen) {
		whole = append(whole, u...)
	}
	slices.SortStableFunc(whole, func(a, b Device) int { return cmp.Compare(c.place(a), c.place(b)) })
	for _, d := range chosen {
		if !slices.ContainsFunc(whole, func(o Device) bool { return o.Name == d.Name }) {
			c.found = append(c.found, finding.Finding{ID: finding.DeviceUnfit, Severity: finding.Warning, Subject: c.title(d), Got: d.Group,
				Message: fmt.Sprintf("%s is left out of all: the rest of its card can't be given", c.title(d)), Remedy: "repair the card, or name those that are meant", File: c.ask.File, Line: c.ask.Line})
		}
	}
	return whole
}

// sort are the devices of the sort that is asked for: whole ones, or partitions of the profile.
func (c *chooser) sort() []Device {
	var all []Device
	for _, d := range c.inv.Devices {
		if c.ask.Partition == "" && d.Parent == "" || c.ask.Partition != "" && d.Parent != "" && strings.EqualFold(d.Profile, c.ask.Partition) {
			all = append(all, d)
		}
	}
	return all
}

// counted picks as many as are asked for.
func (c *chooser) counted() []Device {
	var fit, free []Device
	var stand []obstacle
	for _, d := range c.sort() {
		switch {
		case c.used[d.Name], c.unfit(d) != "", c.ask.Partition == "" && c.divided(d):
		default:
			fit = append(fit, d)
			if o := c.obstacle(d); o != nil {
				stand = append(stand, *o)
			} else {
				free = append(free, d)
			}
		}
	}
	if len(fit) < c.ask.Count {
		c.tooFew(len(fit))
		return nil
	}
	if chosen := c.best(free); chosen != nil {
		return chosen
	}
	if c.best(fit) == nil { // not even if nobody held any
		c.impossible(fit)
		return nil
	}
	c.blocked(stand)
	return nil
}

// divided reports whether the device has been cut into partitions: a program can't use it as a whole then (NVIDIA, MIG User
// Guide, "Application Considerations").
func (c *chooser) divided(d Device) bool {
	return slices.ContainsFunc(c.inv.Devices, func(o Device) bool { return o.Parent == d.Name })
}

// parts are the device's partitions.
func (c *chooser) parts(d Device) []Device {
	return slices.DeleteFunc(slices.Clone(c.inv.Devices), func(o Device) bool { return o.Parent != d.Name })
}

// badHealth begins the reason of a device that does not work.
const badHealth = "it does not work"

func illness(d Device) string {
	if d.Health.State != "bad" {
		return ""
	}
	return strings.TrimSuffix(badHealth+" ("+strings.Join(d.Health.Reasons, ", ")+")", " ()")
}

// unfit says why d is not what is asked for, whoever holds it; "" where it is.
func (c *chooser) unfit(d Device) string {
	has := slices.Contains(c.st.Now, d.Name) // what a container runs on it keeps: up is no reason to end it
	switch {
	case illness(d) != "" && !has:
		return illness(d)
	case d.Memory > 0 && d.Memory < c.ask.MinMemory:
		return fmt.Sprintf("it has %s of memory, and min_memory is %s", Size(d.Memory), Size(c.ask.MinMemory))
	case d.Memory == 0 && c.ask.MinMemory > 0 && !has:
		return strings.TrimSuffix("how much memory it has is not known: "+c.inv.Unasked, ": ")
	}
	return ""
}

// An obstacle is why a device that would do can't be given now.
type obstacle struct {
	device Device
	id     string
	text   string // "container train holds it"
	remedy string
}

// obstacle is nil where nothing stands in the way. What another container of ours has is said before what else uses the
// device: its processes are that container's.
func (c *chooser) obstacle(d Device) *obstacle {
	family := c.relatives(d)
	var held []Lease
	for _, l := range c.st.Held {
		if l.Kind == c.inv.Kind && slices.Contains(family, l.Name) {
			held = append(held, l)
			if l.Name != d.Name {
				held[len(held)-1].Share = 0 // a part and the whole can't be shared
			}
		}
	}
	switch {
	case !admits(held, c.ask.Share):
		return &obstacle{d, finding.DeviceLeased, "container " + held[0].Container + " holds " + c.which(d, held[0].Name), "hostrun down " + held[0].Container + ", or wait for it: --wait-device"}
	case slices.ContainsFunc(family, func(name string) bool { return slices.Contains(c.st.Taken, name) }):
		return &obstacle{d, finding.DeviceLeased, "it is being given to another container at this moment", "try again, or wait: --wait-device"}
	case slices.Contains(c.st.Now, d.Name):
		return nil
	case c.st.Claimed[d.Name] != "":
		return &obstacle{d, finding.DeviceLeased, "container " + c.st.Claimed[d.Name] + " has waited for it longer", "wait in the same queue: --wait-device"}
	case len(d.Users) > 0 && len(held) == 0 && (c.ask.Share == 0 || c.ask.Share == 1 || c.ask.Idle):
		return &obstacle{d, finding.DeviceBusy, d.Users[0].String() + " uses it", "end that, or let them share it: share: true"}
	case len(held) > 0 && c.ask.Idle:
		return &obstacle{d, finding.DeviceLeased, "container " + held[0].Container + " holds it, and idle: asks for one that nobody uses", "remove idle:, or wait: --wait-device"}
	}
	return nil
}

// which says of a part or a whole that it is not d itself.
func (c *chooser) which(d Device, name string) string {
	switch {
	case name == d.Name:
		return "it"
	case name == d.Parent:
		return "the whole of it"
	}
	return "a part of it"
}

// String is how a message names a user.
func (u User) String() string {
	switch {
	case u.PID == 0:
		return u.Name
	case u.Name == "":
		return fmt.Sprintf("process %d", u.PID)
	}
	return fmt.Sprintf("process %d (%s)", u.PID, u.Name)
}
