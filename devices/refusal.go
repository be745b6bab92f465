package devices

import (
	"fmt"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Noun is what a person calls one device of the kind.
func Noun(kind string) string {
	switch kind {
	case KindGPU:
		return "GPU"
	case KindNPU:
		return "NPU"
	}
	return kind
}

// Nouns is the plural of Noun.
func Nouns(kind string) string {
	if n := Noun(kind); n != kind {
		return n + "s"
	}
	return kind + " devices"
}

// Size is a number of bytes as people say it.
func Size(n int64) string {
	if n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// title is how a message names a device: "GPU 3 (GPU-8f3a...)".
func (c *chooser) title(d Device) string { return Noun(c.inv.Kind) + " " + c.short(d) }

func (c *chooser) short(d Device) string {
	if d.Index < 0 || fmt.Sprint(d.Index) == d.Name {
		return d.Name
	}
	return fmt.Sprintf("%d (%s)", d.Index, d.Name)
}

func (c *chooser) list(all []Device) string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = c.short(d)
	}
	return strings.Join(words, ", ")
}

func (c *chooser) names(all []Device) []string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = d.Name
		if d.Index >= 0 {
			words[i] = fmt.Sprint(d.Index)
		}
	}
	return words
}

// wanted is the ask in words: "9 GPUs", "2 MIG partitions 1g.10gb".
func (c *chooser) wanted() string {
	n, what := fmt.Sprint(c.ask.Count), Nouns(c.inv.Kind)
	if c.ask.All {
		n = "all"
	} else if c.ask.Count == 1 {
		what = Noun(c.inv.Kind)
	}
	if c.ask.Partition != "" {
		what = Noun(c.inv.Kind) + " partitions " + c.ask.Partition
		if c.ask.Count == 1 {
			what = Noun(c.inv.Kind) + " partition " + c.ask.Partition
		}
	}
	return n + " " + what
}

// total is "8 GPUs", or "8 GPUs, 11 partitions".
func (c *chooser) total() string {
	whole := 0
	for _, d := range c.inv.Devices {
		if d.Parent == "" {
			whole++
		}
	}
	text := fmt.Sprintf("%d %s", whole, Nouns(c.inv.Kind))
	if whole == 1 {
		text = "1 " + Noun(c.inv.Kind)
	}
	if parts := len(c.inv.Devices) - whole; parts > 0 {
		text += fmt.Sprintf(", %d partitions", parts)
	}
	return text
}

// asked is the ask as the beginning of a refusal: "9 GPUs are asked for".
func (c *chooser) asked() string {
	if c.ask.Count == 1 && !c.ask.All {
		return c.wanted() + " is asked for"
	}
	return c.wanted() + " are asked for"
}

// tooFew tells that the machine has not enough of what is asked for, whoever holds it.
func (c *chooser) tooFew(fit int) {
	var lines []string
	parts, profiles := c.profiles()
	for _, d := range c.sort() {
		why := c.unfit(d)
		if why == "" && c.divided(d) {
			why = "it is divided into partitions"
		}
		if why != "" {
			lines = append(lines, c.short(d)+": "+why)
		}
	}
	have, id := len(c.sort()), finding.DeviceUnknown
	message := fmt.Sprintf("%s, and this machine has %d", c.asked(), have)
	remedy := "ask for fewer: hostrun devices lists them"
	switch {
	case c.ask.Partition != "" && have == 0 && parts > 0 && len(profiles) == 0:
		id, remedy = finding.DeviceUnfit, "name partitions; hostrun devices lists them, and says why their profiles are not known"
		message = strings.TrimSuffix(fmt.Sprintf("%s, and the profiles of this machine's partitions (%d) are not known: %s", c.asked(), parts, c.inv.Unasked), ": ")
	case c.ask.Partition != "" && have == 0 && parts == 0:
		id, message = finding.DeviceUnfit, fmt.Sprintf("%s, and no %s of this machine is divided", c.asked(), Noun(c.inv.Kind))
		remedy = "divide one (NVIDIA: nvidia-smi mig -cgi), or ask for whole ones"
	case c.ask.Partition != "" && have == 0:
		id, message = finding.DeviceUnfit, fmt.Sprintf("%s, and this machine has %s", c.asked(), strings.Join(profiles, ", "))
	case len(lines) > 0:
		id, message = finding.DeviceUnfit, fmt.Sprintf("%s, and %d of %d will do", c.asked(), fit, have)
		if c.ask.MinMemory > 0 && c.inv.Unasked != "" {
			remedy = "remove min_memory:, or have the driver's library asked: hostrun devices says why it was not"
		}
	}
	c.report(id, c.ask.Key, strings.Join(lines, "; "), message, remedy)
}

// profiles counts the machine's partitions, and lists their profiles as far as they are known.
func (c *chooser) profiles() (parts int, list []string) {
	for _, d := range c.inv.Devices {
		if d.Parent == "" {
			continue
		}
		if parts++; d.Profile != "" {
			list = append(list, d.Profile)
		}
	}
	return parts, list
}

// impossible tells that no choice among fit gives the number, by groups or links.
func (c *chooser) impossible(fit []Device) {
	if c.ask.SameLink {
		c.ask.SameLink = false
		possible := c.best(fit) != nil
		if c.ask.SameLink = true; possible {
			message, got := fmt.Sprintf("no %s of this machine are one fast interconnect group", c.wanted()), ""
			if c.inv.Unasked != "" {
				got = "links between them are not known: " + c.inv.Unasked
				message += ", as far as is known: " + c.inv.Unasked
			}
			c.report(finding.DeviceUnfit, c.ask.Key, got, message, "ask for fewer, or remove same_nvlink:")
			return
		}
	}
	size, cards := 1, map[string]int{}
	for _, d := range c.inv.Devices {
		if d.Group != "" {
			cards[d.Group]++
			size = max(size, cards[d.Group])
		}
	}
	if c.ask.Count%size == 0 {
		c.report(finding.DeviceUnfit, c.ask.Key, "", fmt.Sprintf("%s, and too few cards will do as a whole", c.asked()), "hostrun devices says what is wrong with which")
		return
	}
	c.report(finding.DeviceGrouping, c.ask.Key, fmt.Sprintf("cards of %d", size),
		fmt.Sprintf("%s can't be given: %s of one card are taken together, %d a card", c.wanted(), Nouns(c.inv.Kind), size),
		fmt.Sprintf("ask for %d", (c.ask.Count/size+1)*size))
}

// blocked tells what stands in the way, in one finding that names who holds what.
func (c *chooser) blocked(stand []obstacle) {
	if len(stand) == 0 {
		return
	}
	if len(stand) == 1 {
		o := stand[0]
		c.report(o.id, c.title(o.device), o.text, fmt.Sprintf("%s can't be given now: %s", c.title(o.device), o.text), o.remedy)
		return
	}
	var lines []string
	first := stand[0]
	for _, o := range stand {
		lines = append(lines, c.short(o.device)+": "+o.text)
		if first.id == finding.DeviceBusy && o.id == finding.DeviceLeased { // what hostrun can end goes first
			first = o
		}
	}
	fit := len(c.sort())
	c.report(first.id, c.ask.Key, strings.Join(lines, "; "),
		fmt.Sprintf("%s, and %d of %d can't be given now: %s", c.asked(), len(stand), fit, strings.Join(lines, "; ")), first.remedy)
}
