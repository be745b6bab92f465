package profiles

import (
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/pattern"
)

// This file reads compose's weights and limits beside cpus, cpuset, mem_limit and pids_limit.

// A BlkIO is compose's blkio_config: weights of the container's disk traffic, and its bounds by device.
type BlkIO struct {
	Weight       uint16        `json:"weight,omitempty"` // 10 to 1000; 0: not said
	WeightDevice []BlkIODevice `json:"weight_device,omitempty"`
	ReadBps      []BlkIODevice `json:"device_read_bps,omitempty"`
	ReadIOps     []BlkIODevice `json:"device_read_iops,omitempty"`
	WriteBps     []BlkIODevice `json:"device_write_bps,omitempty"`
	WriteIOps    []BlkIODevice `json:"device_write_iops,omitempty"`
}

// Devices are all entries that name a device.
func (b *BlkIO) Devices() []BlkIODevice {
	if b == nil {
		return nil
	}
	var all []BlkIODevice
	for _, list := range [][]BlkIODevice{b.WeightDevice, b.ReadBps, b.ReadIOps, b.WriteBps, b.WriteIOps} {
		all = append(all, list...)
	}
	return all
}

// A BlkIODevice is one entry of blkio_config.
type BlkIODevice struct {
	Path string `json:"path"`
	Rate uint64 `json:"rate"` // bytes or operations a second, or a weight
	Key  string `json:"key"`
}

// A DeviceRule is one of device_cgroup_rules: what the cgroup allows beside the nodes of devices.
type DeviceRule struct {
	Type   string `json:"type"`  // "c", "b", or "a" for both
	Major  int64  `json:"major"` // -1: any
	Minor  int64  `json:"minor"` // -1: any
	Access string `json:"access"`
	Key    string `json:"key"`
}

var weightFields = []field[Profile]{
	{name: "cpu_shares", about: "weight of its processors' time against other containers'; 1024 is the kernel's default", schema: intSchema, read: readRange(0, 262144, func(p *Profile) *int64 { return &p.CPUShares })},
	{name: "cpu_period", about: "of cpu_quota, in microseconds; 100000 by default", schema: intSchema, read: readCPUPeriod},
	{name: "cpu_quota", about: "microseconds of processors' time in each cpu_period; -1 is no limit. cpus says both in one", schema: intSchema, read: readCPUQuota},
	{name: "cpu_rt_period", about: "period of the realtime scheduler, in microseconds or as a duration; cgroup v1 alone", schema: intSchema, read: readMicroseconds(func(p *Profile) *int64 { return &p.CPURTPeriod })},
	{name: "cpu_rt_runtime", about: "realtime processors' time in each cpu_rt_period; cgroup v1 alone", schema: intSchema, read: readMicroseconds(func(p *Profile) *int64 { return &p.CPURTRuntime })},
	{name: "mem_reservation", about: "memory that is left to it when the machine runs short", schema: sizeSchema, read: readSizeLimit(func(p *Profile) *int64 { return &p.MemReservation })},
	{name: "memswap_limit", about: "memory and swap together; as much as mem_limit is no swap, which is the default; -1 is no limit", schema: sizeSchema, read: readMemSwap},
	{name: "mem_swappiness", about: "how readily its memory is swapped out, 0 to 100; cgroup v1 alone", schema: intSchema, read: func(d *decoder, p *Profile, n *node, key string) {
		var v int64
		if d.inRange(n, key, 0, 100, &v) {
			p.MemSwappiness = &v
		}
	}},
	{name: "oom_kill_disable", about: "processes wait where memory is short, instead of being killed; cgroup v1 alone", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.OOMKillDisable })},
	{name: "oom_score_adj", about: "how readily the kernel ends it where memory is short: -1000 (never) to 1000", schema: intSchema, read: func(d *decoder, p *Profile, n *node, key string) {
		var v int64
		if d.inRange(n, key, -1000, 1000, &v) {
			score := int(v)
			p.OOMScoreAdj = &score
		}
	}},
	{name: "blkio_config", about: "weights and bounds of disk traffic", schema: schemaOf(blkioFields), read: readBlkIO},
	{name: "device_cgroup_rules", about: "what the cgroup allows beside devices: \"c 189:* rw\"", schema: textsSchema, read: readDeviceRules},
}

// inRange reads a whole number of a range.
func (d *decoder) inRange(n *node, key string, least, most int64, to *int64) bool {
	v, ok := d.integer(n, key)
	switch {
	case !ok:
		return false
	case v < least || v > most:
		d.bad(n, key, "write a number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10), "%d is out of range", v)
		return false
	}
	*to = v
	return true
}

func readRange(least, most int64, at func(*Profile) *int64) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) { d.inRange(n, key, least, most, at(p)) }
}

// unsaid reports whether n is 0, which docker takes for a limit that is not said.
func unsaid(n *node) bool {
	return n.kind == scalar && (n.tag == "int" || n.tag == "str") && n.text == "0"
}

func readCPUPeriod(d *decoder, p *Profile, n *node, key string) {
	if unsaid(n) {
		p.CPUPeriod = 0
		return
	}
	d.inRange(n, key, 1000, 1_000_000, &p.CPUPeriod)
}

// readCPUQuota knows the kernel's least, a millisecond (Documentation/scheduler/sched-bwc.rst).
func readCPUQuota(d *decoder, p *Profile, n *node, key string) {
	v, ok := d.integer(n, key)
	switch {
	case !ok:
	case v == -1 || v == 0 || v >= 1000:
		p.CPUQuota = v
	default:
		d.bad(n, key, "write at least 1000 microseconds, or -1 for no limit; cpus: 1.5 says quota and period in one", "the quota can't be %d", v)
	}
}

func readMicroseconds(at func(*Profile) *int64) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) {
		if n.kind == scalar && n.tag == "str" && strings.Trim(n.text, "0123456789") != "" {
			if v, ok := d.duration(n, key); ok {
				*at(p) = int64(v / time.Microsecond)
			}
			return
		}
		d.inRange(n, key, 0, 1_000_000_000, at(p))
	}
}

// readMemSwap takes 0 for not said, as compose does.
func readMemSwap(d *decoder, p *Profile, n *node, key string) {
	if n.kind == scalar && n.text == "-1" {
		p.MemSwapLimit = -1
		return
	}
	if v, ok := d.limit(n, key); ok {
		p.MemSwapLimit = v
	}
}

var (
	blkioFields = []field[BlkIO]{
		{name: "weight", about: "of all devices, 10 to 1000; 500 is the kernel's default", schema: intSchema, read: func(d *decoder, b *BlkIO, n *node, key string) {
			var v int64
			if unsaid(n) || d.inRange(n, key, 10, 1000, &v) {
				b.Weight = uint16(v)
			}
		}},
		{name: "weight_device", about: "of one device", schema: listOf(schemaOf(blkioWeightFields)), read: readBlkIODevices(blkioWeightFields, func(b *BlkIO) *[]BlkIODevice { return &b.WeightDevice })},
		{name: "device_read_bps", about: "most bytes read of a device in a second", schema: listOf(schemaOf(blkioBytesFields)), read: readBlkIODevices(blkioBytesFields, func(b *BlkIO) *[]BlkIODevice { return &b.ReadBps })},
		{name: "device_read_iops", about: "most reads of a device in a second", schema: listOf(schemaOf(blkioCountFields)), read: readBlkIODevices(blkioCountFields, func(b *BlkIO) *[]BlkIODevice { return &b.ReadIOps })},
		{name: "device_write_bps", about: "most bytes written to a device in a second", schema: listOf(schemaOf(blkioBytesFields)), read: readBlkIODevices(blkioBytesFields, func(b *BlkIO) *[]BlkIODevice { return &b.WriteBps })},
		{name: "device_write_iops", about: "most writes to a device in a second", schema: listOf(schemaOf(blkioCountFields)), read: readBlkIODevices(blkioCountFields, func(b *BlkIO) *[]BlkIODevice { return &b.WriteIOps })},
	}
	blkioPath = field[BlkIODevice]{name: "path", about: "of the device's node: /dev/sda", schema: textSchema, must: true, read: func(d *decoder, b *BlkIODevice, n *node, key string) {
		b.Path, _ = d.cleanAbsolute(n, key)
	}}
	blkioWeightFields = []field[BlkIODevice]{blkioPath, {name: "weight", about: "10 to 1000", schema: intSchema, must: true, read: func(d *decoder, b *BlkIODevice, n *node, key string) {
		var v int64
		if d.inRange(n, key, 10, 1000, &v) {
			b.Rate = uint64(v)
		}
	}}}
	blkioBytesFields = []field[BlkIODevice]{blkioPath, {name: "rate", about: "bytes, or with a unit: 12mb", schema: sizeSchema, must: true, read: func(d *decoder, b *BlkIODevice, n *node, key string) {
		if v, ok := d.bytes(n, key); ok {
			b.Rate = uint64(v)
		}
	}}}
	blkioCountFields = []field[BlkIODevice]{blkioPath, {name: "rate", about: "operations a second", schema: intSchema, must: true, read: func(d *decoder, b *BlkIODevice, n *node, key string) {
		var v int64
		if d.inRange(n, key, 1, 1<<53, &v) {
			b.Rate = uint64(v)
		}
	}}}
)

// cleanAbsolute reads an absolute path of the host.
func (d *decoder) cleanAbsolute(n *node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if ok && !strings.HasPrefix(s, "/") {
		d.bad(n, key, "begin it with /", "%q is no absolute path", abridged(s))
		return "", false
	}
	return s, ok
}

func readBlkIO(d *decoder, p *Profile, n *node, key string) {
	var b BlkIO
	if p.BlkIO != nil {
		b = *p.BlkIO
	}
	if readFields(d, &b, n, key, blkioFields) {
		p.BlkIO = &b
	}
}

func readBlkIODevices(fields []field[BlkIODevice], at func(*BlkIO) *[]BlkIODevice) func(*decoder, *BlkIO, *node, string) {
	return func(d *decoder, b *BlkIO, n *node, key string) {
		if n.kind != list {
			d.bad(n, key, "write a list: - {path: /dev/sda, ...}", "expected a list, got %s", n.describe())
			return
		}
		var all []BlkIODevice
		for i, item := range n.items {
			one := BlkIODevice{Key: index(key, i)}
			d.mark(one.Key, item.pos)
			before := d.report.added
			if readFields(d, &one, item, one.Key, fields) && d.report.added == before {
				all = append(all, one)
			}
		}
		*at(b) = all
	}
}

// deviceRule is the form of the kernel's device controller (Documentation/admin-guide/cgroup-v1/devices.rst), as docker takes it.
var deviceRule = pattern.New(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

func readDeviceRules(d *decoder, p *Profile, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		m := deviceRule.FindStringSubmatch(strings.TrimSpace(s))
		if m == nil {
			d.bad(item, key, `write type, numbers and rights: "c 189:* rw"; types are c, b and a, rights r, w and m`, "%q is no rule of the device controller", abridged(s))
			return
		}
		r := DeviceRule{Type: m[1], Major: deviceNumber(m[2]), Minor: deviceNumber(m[3])}
		for _, c := range "rwm" {
			if strings.ContainsRune(m[4], c) {
				r.Access += string(c)
			}
		}
		for _, have := range p.DeviceRules {
			if r.Key = have.Key; have == r {
				return
			}
		}
		r.Key = index(key, len(p.DeviceRules))
		d.mark(r.Key, item.pos)
		p.DeviceRules = append(p.DeviceRules, r)
	})
}

// deviceNumber is -1 for any, and for one that is too large for a device.
func deviceNumber(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return -1
	}
	return v
}

// finishResources looks for limits that exclude each other, when all files are read.
func (d *decoder) finishResources() {
	p := d.profile
	d.finishDeploy()
	if p.CPUs > 0 && (p.CPUQuota != 0 || p.CPUPeriod != 0) {
		at := "cpu_quota"
		if p.CPUQuota == 0 {
			at = "cpu_period"
		}
		d.badAt(p.Lines[at], at, "keep cpus:, or cpu_quota: and cpu_period:", "cpus says quota and period already")
	}
	if p.MemSwapLimit > 0 && p.MemLimit == 0 {
		d.badAt(p.Lines["memswap_limit"], "memswap_limit", "add mem_limit:", "it bounds memory and swap together, and mem_limit is missing")
	}
	if p.MemSwapLimit > 0 && p.MemSwapLimit < p.MemLimit {
		d.badAt(p.Lines["memswap_limit"], "memswap_limit", "write at least what mem_limit: says", "it bounds memory and swap together, and is less than mem_limit alone")
	}
	if p.MemReservation > 0 && p.MemLimit > 0 && p.MemReservation > p.MemLimit {
		at := d.firstOf("mem_reservation", "deploy.resources.reservations.memory")
		d.badAt(p.Lines[at], at, "lower it, or raise mem_limit:", "more than mem_limit is reserved")
	}
}

// firstOf is the first of the keys that stands somewhere.
func (d *decoder) firstOf(keys ...string) string {
	for _, key := range keys {
		if _, ok := d.profile.Lines[key]; ok {
			return key
		}
	}
	return keys[0]
}
