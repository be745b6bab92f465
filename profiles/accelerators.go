package profiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// An Accelerator is one entry of gpus or npus: devices of one kind, by number, by name, or all.
type Accelerator struct {
	Driver       string            `json:"driver,omitempty"` // "": that of the key; "nvidia", "ascend", "cdi"
	All          bool              `json:"all,omitempty"`
	Count        int               `json:"count,omitempty"`
	IDs          []string          `json:"ids,omitempty"` // ranges expanded; qualified names with driver cdi
	Capabilities []string          `json:"capabilities,omitempty"`
	MinMemory    int64             `json:"min_memory,omitempty"` // bytes a device
	Idle         bool              `json:"idle,omitempty"`
	SameLink     bool              `json:"same_link,omitempty"`
	Optional     bool              `json:"optional,omitempty"`
	Share        int               `json:"share,omitempty"`    // containers at once; -1 any number
	Affinity     string            `json:"affinity,omitempty"` // "", "prefer", "strict", "off"
	Partition    string            `json:"partition,omitempty"`
	Options      map[string]string `json:"options,omitempty"`
	Key          string            `json:"key"` // in Lines: "gpus", "gpus[0]"
}

// Ascend says how NPUs are given.
type Ascend struct {
	Driver    string `json:"driver,omitempty"`     // "" or "auto", "none", or the directory of the driver
	Toolkit   string `json:"toolkit,omitempty"`    // "" the image's; "host", or an absolute path on the host
	RankTable bool   `json:"rank_table,omitempty"` // the machine's /etc/hccl_rootinfo.json
}

const (
	numberForm = "a number, all, or a list of devices"
	maxCount   = 1024
)

var (
	affinities   = []string{"prefer", "strict", "off"}
	countSchema  = object{"type": []string{"integer", "string"}}
	idSchema     = object{"type": []string{"integer", "string"}}
	shareSchema  = object{"type": []string{"boolean", "integer", "string"}}
	ascendFields = []field[Ascend]{
		{name: "driver", about: "auto (where the machine has it), none, or its directory", schema: textSchema, read: readAscendDriver},
		{name: "toolkit", about: "host: bind the machine's CANN toolkit; or its directory; image (default): the image's own", schema: textSchema, read: readAscendToolkit},
		{name: "rank_table", about: "bind the machine's HCCL rank table", schema: boolSchema, read: func(d *decoder, a *Ascend, n *node, key string) {
			a.RankTable, _ = d.boolean(n, key)
		}},
	}
)

// acceleratorFields are compose's of a device request (compose-spec, deploy.md, "devices"), and hostrun's own below.
func acceleratorFields() []field[Accelerator] {
	return []field[Accelerator]{
		{name: "driver", about: "nvidia, ascend, or cdi: device_ids are qualified names then", schema: enum("nvidia", "ascend", "cdi"), read: func(d *decoder, a *Accelerator, n *node, key string) {
			a.Driver, _ = d.oneOf(n, key, "nvidia", "ascend", "cdi")
		}},
		{name: "count", about: "how many; all", schema: countSchema, read: readCount},
		{name: "device_ids", about: "which ones: index, UUID, PCI address", schema: listOf(idSchema), read: readIDs},
		{name: "capabilities", about: "gpu, compute, utility, video, graphics, ...", schema: textsSchema, read: readCapabilities},
		{name: "options", about: "the driver's own", schema: namedSchema, read: readAcceleratorOptions},
		{name: "min_memory", about: "least memory of each", schema: sizeSchema, read: func(d *decoder, a *Accelerator, n *node, key string) {
			a.MinMemory, _ = d.bytes(n, key)
		}},
		{name: "idle", about: "only those that nobody uses", schema: boolSchema, read: readFlag(func(a *Accelerator) *bool { return &a.Idle })},
		{name: "same_nvlink", about: "all of one fast interconnect group", schema: boolSchema, read: readFlag(func(a *Accelerator) *bool { return &a.SameLink })},
		{name: "same_link", about: "the same, for any kind", schema: boolSchema, read: readFlag(func(a *Accelerator) *bool { return &a.SameLink })},
		{name: "optional", about: "run without, where the machine has none", schema: boolSchema, read: readFlag(func(a *Accelerator) *bool { return &a.Optional })},
		{name: "share", about: "containers that may hold a device at once; true for any number", schema: shareSchema, read: readShare},
		{name: "affinity", about: "run on the processors close to them: prefer (default), strict, off", schema: enum(affinities...), read: func(d *decoder, a *Accelerator, n *node, key string) {
			a.Affinity, _ = d.oneOf(n, key, affinities...)
		}},
		{name: "mig", about: "partitions of this profile instead of whole GPUs: 1g.10gb", schema: textSchema, read: func(d *decoder, a *Accelerator, n *node, key string) {
			a.Partition, _ = d.text(n, key)
		}},
	}
}

func acceleratorSchema() object {
	one := schemaOf(acceleratorFields())
	return object{"oneOf": []object{countSchema, one, listOf(idSchema, one)}}
}

var acceleratorKeys = []field[Profile]{
	{name: "gpus", about: "GPUs: all, a number, names, or device requests as in compose", schema: acceleratorSchema(), read: readAccelerators(func(p *Profile) *[]Accelerator { return &p.GPUs })},
	{name: "npus", about: "Ascend NPUs: all, a number, ids and ranges, or a mapping with options", schema: acceleratorSchema(), read: readAccelerators(func(p *Profile) *[]Accelerator { return &p.NPUs })},
	{name: "ascend", about: "how NPUs are given: auto, none, or a mapping", schema: object{"oneOf": []object{textSchema, schemaOf(ascendFields)}}, read: readAscend},
	{name: "deploy", about: "compose's; of it only resources.reservations.devices", schema: schemaOf(deployFields), read: readDeploy},
}

func readFlag(at func(*Accelerator) *bool) func(*decoder, *Accelerator, *node, string) {
	return func(d *decoder, a *Accelerator, n *node, key string) { *at(a), _ = d.boolean(n, key) }
}

// readAccelerators reads all of a key's forms. What a base has said is replaced.
func readAccelerators(at func(*Profile) *[]Accelerator) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) {
		if len(*at(p)) > 0 && d.levels[(*at(p))[0].Key] == d.level {
			d.bad(n, key, "keep one of the two", "devices of this kind are asked for under %s: too", (*at(p))[0].Key)
			return
		}
		*at(p) = d.accelerators(n, key)
	}
}

func (d *decoder) accelerators(n *node, key string) []Accelerator {
	switch {
	case n.kind == scalar:
		a := Accelerator{Key: key}
		d.amount(&a, n, key)
		return apart(a)
	case n.kind == mapping:
		return d.request(n, key, nil)
	}
	var all []Accelerator
	var ids *Accelerator // the bare names of the list are one request
	for i, item := range n.items {
		at := index(key, i)
		d.mark(at, item.pos)
		if item.kind == mapping {
			all = d.request(item, at, all)
			continue
		}
		if ids == nil {
			ids = &Accelerator{Key: key}
		}
		ids.IDs = append(ids.IDs, d.identify(item, at)...)
	}
	if ids != nil {
		all = append(apart(*ids), all...)
	}
	if len(n.items) == 0 {
		d.bad(n, key, "remove the key, or name devices", "the list is empty")
	}
	return all
}

// request reads one device request and appends it. Neither count nor device_ids means all, as in compose.
func (d *decoder) request(n *node, key string, all []Accelerator) []Accelerator {
	a := Accelerator{Key: key}
	if !readFields(d, &a, n, key, acceleratorFields()) {
		return all
	}
	count, ids := n.said("count"), n.said("device_ids")
	switch {
	case count != nil && ids != nil:
		d.bad(count.value, join(key, "count"), "remove one of the two", "count and device_ids exclude each other")
	case count == nil && ids == nil && a.Driver == "cdi":
		d.bad(n, key, "add device_ids: [nvidia.com/gpu=0]", "driver cdi gives devices by name, and device_ids is missing")
	case count == nil && ids == nil:
		a.All = true
	}
	switch parts := apart(a); { // device_ids that are qualified names say by themselves what driver: cdi says
	case a.Driver != "" && a.Driver != "nvidia":
	case len(parts) == 1:
		a = parts[0]
	default:
		d.bad(ids.value, join(key, "device_ids"), "make two requests of them", "qualified names of CDI and other names can't stand in one request")
	}
	for i, id := range a.IDs {
		if a.Driver == "cdi" && !cdiName.MatchString(id) {
			d.bad(ids.value, index(join(key, "device_ids"), i), "write vendor/class=name: nvidia.com/gpu=0", "%q is no qualified name of CDI", abridged(id))
		}
	}
	return append(all, a)
}

// apart makes two requests of names of which some are qualified ones of CDI: those are an administrator's word, and may be of another kind.
func apart(a Accelerator) []Accelerator {
	plain, named := a, a
	plain.IDs, named.IDs, named.Driver = nil, nil, "cdi"
	for _, id := range a.IDs {
		if cdiName.MatchString(id) {
			named.IDs = append(named.IDs, id)
		} else {
			plain.IDs = append(plain.IDs, id)
		}
	}
	switch {
	case len(named.IDs) == 0:
		return []Accelerator{a}
	case len(plain.IDs) == 0:
		return []Accelerator{named}
	}
	return []Accelerator{plain, named}
}

// amount reads all, a number, or, as text, names and ranges.
func (d *decoder) amount(a *Accelerator, n *node, key string) {
	switch {
	case n.kind == scalar && n.tag == "str" && n.text == "all":
		a.All = true
	case n.kind == scalar && n.tag == "str" && !digits(strings.TrimPrefix(n.text, "-")):
		a.IDs = d.identify(n, key)
	default:
		readCount(d, a, n, key)
	}
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// readCount takes docker's -1 for all, too. 0 is refused: who writes it may mean none, and may mean the first device.
func readCount(d *decoder, a *Accelerator, n *node, key string) {
	if n.kind == scalar && n.tag == "str" && n.text == "all" {
		a.All = true
		return
	}
	if n.kind != scalar || n.tag != "int" && !(n.tag == "str" && digits(strings.TrimPrefix(n.text, "-"))) {
		d.bad(n, key, "write all, or a number", "expected %s, got %s", numberForm, n.describe())
		return
	}
	v, ok := d.integer(n, key)
	switch {
	case !ok:
	case v == -1:
		a.All = true
	case v == 0:
		d.bad(n, key, "remove it for none; for the device with index 0 write a list: [0]", "0 devices can't be asked for")
	case v < 0 || v > maxCount:
		d.bad(n, key, "write a number from 1 on", "%d devices can't be asked for", v)
	default:
		a.Count = int(v)
	}
}

func readIDs(d *decoder, a *Accelerator, n *node, key string) {
	if n.kind != list || len(n.items) == 0 {
		d.bad(n, key, `write a list: ["0", "3"]`, "expected a list of devices, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		a.IDs = append(a.IDs, d.identify(item, index(key, i))...)
	}
}

var (
	rangeForm = pattern.New(`^([0-9]{1,4})-([0-9]{1,4})$`)
	idForm    = pattern.New(`^[A-Za-z0-9/][A-Za-z0-9_.:/=-]*$`)
)

// identify reads one device, or several as text: "0-3,8".
func (d *decoder) identify(n *node, key string) []string {
	if n.kind != scalar || n.tag != "str" && n.tag != "int" {
		d.bad(n, key, "write an index, a UUID, or a PCI address", "expected a device, got %s", n.describe())
		return nil
	}
	if n.tag == "int" {
		v, ok := d.integer(n, key)
		if ok && v < 0 {
			d.bad(n, key, "write an index from 0 on", "%d is no index of a device", v)
		}
		return []string{strconv.FormatInt(v, 10)}
	}
	ids, err := expand(n.text)
	if err != nil {
		d.bad(n, key, `write an index, a UUID, a PCI address, or a range: "0-3"`, "%v", err)
	}
	return ids
}

// expand reads names and ranges of indexes, joined by commas.
func expand(s string) ([]string, error) {
	var ids []string
	for word := range strings.SplitSeq(s, ",") {
		word = strings.TrimSpace(word)
		m := rangeForm.FindStringSubmatch(word)
		if m == nil && !idForm.MatchString(word) {
			return nil, fmt.Errorf("%q is no device", abridged(word))
		}
		if m == nil {
			ids = append(ids, word)
			continue
		}
		low, _ := strconv.Atoi(m[1])
		high, _ := strconv.Atoi(m[2])
		if low > high || high-low >= maxCount {
			return nil, fmt.Errorf("%q is no range of devices", word)
		}
		for i := low; i <= high; i++ {
			ids = append(ids, strconv.Itoa(i))
		}
	}
	if len(ids) > maxCount {
		return nil, fmt.Errorf("%q names more than %d devices", abridged(s), maxCount)
	}
	return ids, nil
}

// capabilities of a device request that mean something for one of the drivers (NVIDIA, "Driver Capabilities"; docker's gpu and nvidia).
var capabilities = []string{"gpu", "npu", "nvidia", "compute", "utility", "graphics", "video", "display", "compat32", "ngx", "all"}

func readCapabilities(d *decoder, a *Accelerator, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		if !contains(capabilities, s) {
			remedy := "known: " + strings.Join(capabilities, ", ")
			if near := finding.Nearest(s, capabilities, 1); len(near) > 0 {
				remedy = "did you mean " + near[0] + "? " + remedy
			}
			d.bad(item, key, remedy, "%q is no capability of a GPU's driver", abridged(s))
			return
		}
		if !contains(a.Capabilities, s) {
			a.Capabilities = append(a.Capabilities, s)
		}
	})
}

func readAcceleratorOptions(d *decoder, a *Accelerator, n *node, key string) {
	d.named(n, key, func(e entry) {
		if a.Options == nil {
			a.Options = map[string]string{}
		}
		a.Options[e.name] = e.value
	})
}

// readShare takes true, or a number of containers.
func readShare(d *decoder, a *Accelerator, n *node, key string) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str" && digits(n.text)) {
		if v, ok := d.integer(n, key); ok && v >= 1 && v <= maxCount {
			a.Share = int(v)
		} else if ok {
			d.bad(n, key, "write true, or a number of containers from 1 on", "a device can't be shared by %d containers", v)
		}
		return
	}
	if b, ok := d.boolean(n, key); ok && b {
		a.Share = -1
	}
}

func readAscend(d *decoder, p *Profile, n *node, key string) {
	if n.kind == mapping {
		readFields(d, &p.Ascend, n, key, ascendFields)
		return
	}
	if s, ok := d.oneOf(n, key, "auto", "none"); ok {
		p.Ascend = Ascend{Driver: s}
	}
}

func readAscendDriver(d *decoder, a *Ascend, n *node, key string) {
	if s, ok := d.borrowed(n, key, "the driver: /usr/local/Ascend/driver"); ok {
		a.Driver = s
	}
}

func readAscendToolkit(d *decoder, a *Ascend, n *node, key string) {
	switch s, ok := d.text(n, key); {
	case !ok:
	case s == "image", s == "none":
		a.Toolkit = ""
	case s == "host", s == "auto":
		a.Toolkit = "host"
	case strings.HasPrefix(s, "/"):
		a.Toolkit = path.Clean(s)
	default:
		d.bad(n, key, "write image, host, or the toolkit's directory: /usr/local/Ascend/ascend-toolkit/latest", "%q is not known", abridged(s))
	}
}
