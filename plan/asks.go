package plan

import (
	"maps"
	"strconv"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/profiles"
)

// Asks are the accelerators that the profile asks for, in the order of its keys.
func Asks(p *profiles.Profile) []devices.Ask {
	var asks []devices.Ask
	for _, a := range p.GPUs {
		asks = append(asks, askOf(p, a, devices.KindGPU, nil)...)
	}
	for _, a := range p.NPUs {
		asks = append(asks, askOf(p, a, devices.KindNPU, ascendOptions(p))...)
	}
	return append(asks, namedDevices(p)...)
}

// RawDevices are the profile's devices that are plain nodes.
func RawDevices(p *profiles.Profile) []profiles.Device {
	var raw []profiles.Device
	for _, d := range p.Devices {
		if !d.Accelerator() {
			raw = append(raw, d)
		}
	}
	return raw
}

func askOf(p *profiles.Profile, a profiles.Accelerator, kind string, options map[string]string) []devices.Ask {
	at := p.Lines[a.Key]
	ask := devices.Ask{Kind: kind, All: a.All, Count: a.Count, IDs: a.IDs, Capabilities: a.Capabilities, MinMemory: a.MinMemory, Idle: a.Idle,
		SameLink: a.SameLink, Partition: a.Partition, Share: a.Share, Optional: a.Optional, Affinity: a.Affinity, Key: a.Key, File: at.File, Line: at.Line}
	if len(options)+len(a.Options) > 0 {
		ask.Options = map[string]string{}
		maps.Copy(ask.Options, options)
		maps.Copy(ask.Options, a.Options)
	}
	if a.Driver != "cdi" {
		return []devices.Ask{ask}
	}
	return qualified(ask, a.IDs)
}

// qualified makes an ask a kind of names like vendor/class=name; the name all means all of the kind.
func qualified(ask devices.Ask, names []string) []devices.Ask {
	var asks []devices.Ask
	at := map[string]int{}
	for _, name := range names {
		kind, id, ok := devices.ParseQualified(name)
		if !ok {
			continue // the profile has been checked
		}
		i, known := at[kind]
		if !known {
			one := ask
			one.Kind, one.IDs, one.Qualified = kind, nil, true
			i, at[kind] = len(asks), len(asks)
			asks = append(asks, one)
		}
		if id == "all" {
			asks[i].All = true
		} else {
			asks[i].IDs = append(asks[i].IDs, id)
		}
	}
	for i := range asks {
		if asks[i].All {
			asks[i].IDs = nil
		}
	}
	return asks
}

// namedDevices are the entries of devices that name accelerators: /dev/davinci0 means npus: [0].
func namedDevices(p *profiles.Profile) []devices.Ask {
	var npus devices.Ask
	var names []string
	var first string
	for _, d := range p.Devices {
		at := p.Lines[d.Key]
		switch {
		case d.CDI:
			if names = append(names, d.Source); first == "" {
				first = d.Key
			}
		case d.Accelerator():
			if npus.Kind == "" {
				npus = devices.Ask{Kind: devices.KindNPU, Key: d.Key, File: at.File, Line: at.Line, Options: ascendOptions(p)}
			}
			npus.IDs = append(npus.IDs, d.Source)
		}
	}
	at := p.Lines[first]
	asks := qualified(devices.Ask{Key: first, File: at.File, Line: at.Line}, names)
	if npus.Kind != "" {
		asks = append(asks, npus)
	}
	return asks
}

// ascendOptions are what ascend: says, as options of an ask.
func ascendOptions(p *profiles.Profile) map[string]string {
	options := map[string]string{}
	for name, value := range map[string]string{"driver": p.Ascend.Driver, "toolkit": p.Ascend.Toolkit} {
		if value != "" {
			options[name] = value
		}
	}
	if p.Ascend.RankTable {
		options["rank_table"] = strconv.FormatBool(true)
	}
	if len(options) == 0 {
		return nil
	}
	return options
}
