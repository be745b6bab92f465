package profiles

// deploy is compose's long way to say gpus. Its other keys are none of a single machine's.
type deploy struct {
	requests []Accelerator
	replicas *Replicas
}

type (
	resources    struct{ deploy }
	reservations struct{ deploy }
)

var deployFields = []field[deploy]{
	{name: "resources", about: "of it only reservations", schema: schemaOf(resourceFields), read: func(d *decoder, to *deploy, n *node, key string) {
		var r resources
		readFields(d, &r, n, key, resourceFields)
		to.requests = r.requests
	}},
	{name: "replicas", about: "compose's other place for replicas", schema: replicaSchema, read: func(d *decoder, to *deploy, n *node, key string) {
		if r, ok := d.replicas(n, key); ok {
			to.replicas = &r
		}
	}},
}

var resourceFields = []field[resources]{
	{name: "reservations", about: "of it only devices", schema: schemaOf(reservationFields), read: func(d *decoder, to *resources, n *node, key string) {
		var r reservations
		readFields(d, &r, n, key, reservationFields)
		to.deploy = r.deploy
	}},
}

var reservationFields = []field[reservations]{
	{name: "devices", about: "device requests, as under gpus", schema: listOf(schemaOf(acceleratorFields())), read: func(d *decoder, to *reservations, n *node, key string) {
		if n.kind != list {
			d.bad(n, key, "write a list: - {driver: nvidia, count: 1, capabilities: [gpu]}", "expected a list of device requests, got %s", n.describe())
			return
		}
		for i, item := range n.items {
			at := index(key, i)
			d.mark(at, item.pos)
			if to.requests = d.request(item, at, to.requests); len(item.pairs) > 0 && item.pair("capabilities") == nil {
				d.bad(item, at, "add capabilities: [gpu]", "capabilities is missing, which compose asks for here")
			}
		}
	}},
}

// deployRemedies are for keys of deploy that have another word in a profile.
var deployRemedies = map[string]string{"limits": "use cpus: and mem_limit:", "restart_policy": "remove it"}

func readDeploy(d *decoder, p *Profile, n *node, key string) {
	var to deploy
	if n.kind == mapping {
		d.notYetBelow(n, key)
	}
	if !readFields(d, &to, d.known(n), key, deployFields) {
		return
	}
	if to.replicas != nil {
		readReplicas(d, p, n.pair("replicas").value, join(key, "replicas"))
	}
	if len(to.requests) == 0 {
		return
	}
	var gpus, npus []Accelerator
	for _, a := range to.requests {
		if a.Driver == "ascend" || contains(a.Capabilities, "npu") {
			npus = append(npus, a)
		} else {
			gpus = append(gpus, a)
		}
	}
	for at, all := range map[*[]Accelerator][]Accelerator{&p.GPUs: gpus, &p.NPUs: npus} {
		if len(all) > 0 && len(*at) > 0 && d.levels[(*at)[0].Key] == d.level {
			d.bad(n, key, "keep one of the two", "devices of this kind are asked for under %s: too", (*at)[0].Key)
		} else if len(all) > 0 {
			*at = all
		}
	}
}

// composeDeploy are the keys of compose's deploy and its resources that hostrun does not act on (compose-spec.json, "deployment").
var composeDeploy = []string{"endpoint_mode", "labels", "limits", "mode", "placement", "restart_policy", "rollback_config", "update_config",
	"cpus", "memory", "pids", "generic_resources"}

// notYetBelow reports them wherever they stand.
func (d *decoder) notYetBelow(n *node, key string) {
	for _, p := range n.pairs {
		switch {
		case contains(composeDeploy, p.key):
			d.notYetProblem(p.pos, join(key, p.key), deployRemedies[p.key], "this key of compose")
		case p.value.kind == mapping && p.key != "devices":
			d.notYetBelow(p.value, join(key, p.key))
		}
	}
}

// known is n without the keys that have been reported.
func (d *decoder) known(n *node) *node {
	if n.kind != mapping {
		return n
	}
	rest := *n
	rest.pairs = nil
	for _, p := range n.pairs {
		if !contains(composeDeploy, p.key) {
			p.value = d.known(p.value)
			rest.pairs = append(rest.pairs, p)
		}
	}
	return &rest
}
