package profiles

import "fmt"

// deploy is compose's long way to say gpus, cpus, mem_limit, pids_limit and mem_reservation. Its other keys are none of a
// single container's.
type deploy struct {
	requests []Accelerator
	replicas *Replicas
	restart  *deployedRestart
}

// A deployedRestart is deploy.restart_policy, which is restart in other words.
type deployedRestart struct {
	condition string
	attempts  int64
	key       string
	level     int
}

// A deployed is a limit of deploy.
type deployed struct {
	key   string
	level int
	value float64 // bytes and numbers are exact up to 2^53
}

var deployFields = []field[deploy]{
	{name: "resources", about: "limits and reservations", schema: schemaOf(resourceFields), read: func(d *decoder, to *deploy, n *node, key string) {
		readFields(d, to, n, key, resourceFields)
	}},
	{name: "replicas", about: "compose's other place for replicas", schema: replicaSchema, read: func(d *decoder, to *deploy, n *node, key string) {
		if r, ok := d.replicas(n, key); ok {
			to.replicas = &r
		}
	}},
	{name: "mode", about: "replicated, which is the default", schema: enum("replicated"), read: func(d *decoder, _ *deploy, n *node, key string) {
		switch n.text {
		case "global", "global-job", "replicated-job":
			d.bad(n, key, "write replicas: per-device, or run a stack on each machine", "hostrun can't do this value of compose: it is for swarms")
		default:
			d.oneOf(n, key, "replicated")
		}
	}},
	{name: "restart_policy", about: "compose's long way to say restart", schema: schemaOf(restartPolicyFields), read: func(d *decoder, to *deploy, n *node, key string) {
		r := deployedRestart{condition: "any", key: key, level: d.level}
		if readFields(d, &r, n, key, restartPolicyFields) {
			to.restart = &r
		}
	}},
}

// restartPolicyFields are compose's. It passes over delay and window, and so does hostrun: the pauses are those of hostrun supervise.
var restartPolicyFields = []field[deployedRestart]{
	{name: "condition", about: "none, on-failure, or any (default)", schema: enum("none", "on-failure", "any"), read: func(d *decoder, to *deployedRestart, n *node, key string) {
		to.condition, _ = d.oneOf(n, key, "none", "on-failure", "any")
	}},
	{name: "max_attempts", about: "most starts after failures", schema: intSchema, read: func(d *decoder, to *deployedRestart, n *node, key string) {
		if v, ok := d.integer(n, key); ok && (v < 0 || v > 1<<31-1) {
			d.bad(n, key, "write a number", "%d is no number of starts", v)
		} else if ok {
			to.attempts = v
		}
	}},
	{name: "delay", about: "not used: the pauses between starts grow from 100 ms to a minute", schema: textSchema, read: func(d *decoder, _ *deployedRestart, n *node, key string) { d.duration(n, key) }},
	{name: "window", about: "not used: a start that lasts ten seconds has succeeded", schema: textSchema, read: func(d *decoder, _ *deployedRestart, n *node, key string) { d.duration(n, key) }},
}

// word is the policy as restart has it.
func (r *deployedRestart) word() string {
	switch {
	case r.condition == "none":
		return ""
	case r.condition == "any":
		return "always"
	case r.attempts > 0:
		return fmt.Sprintf("on-failure:%d", r.attempts)
	}
	return r.condition
}

var resourceFields = []field[deploy]{
	{name: "limits", about: "cpus, memory, pids", schema: schemaOf(deployLimitFields), read: func(d *decoder, to *deploy, n *node, key string) {
		readFields(d, to, n, key, deployLimitFields)
	}},
	{name: "reservations", about: "cpus, memory, devices", schema: schemaOf(reservationFields), read: func(d *decoder, to *deploy, n *node, key string) {
		readFields(d, to, n, key, reservationFields)
	}},
}

var deployLimitFields = []field[deploy]{
	{name: "cpus", about: "the same as cpus", schema: object{"type": []string{"number", "string"}}, read: readDeployed("cpus", readCPUs, func(p *Profile) float64 { return p.CPUs })},
	{name: "memory", about: "the same as mem_limit", schema: sizeSchema, read: readDeployed("mem_limit", readBytes(func(p *Profile) *int64 { return &p.MemLimit }), func(p *Profile) float64 { return float64(p.MemLimit) })},
	{name: "pids", about: "the same as pids_limit", schema: intSchema, read: readDeployed("pids_limit", readPidsLimit, func(p *Profile) float64 { return float64(p.PidsLimit) })},
}

var reservationFields = []field[deploy]{
	{name: "cpus", about: "processors that the machine has to have", schema: object{"type": []string{"number", "string"}}, read: readDeployed("cpu_reservation", readCPUs, func(p *Profile) float64 { return p.CPUs })},
	{name: "memory", about: "the same as mem_reservation", schema: sizeSchema, read: readDeployed("mem_reservation", readBytes(func(p *Profile) *int64 { return &p.MemLimit }), func(p *Profile) float64 { return float64(p.MemLimit) })},
	{name: "devices", about: "device requests, as under gpus", schema: listOf(schemaOf(acceleratorFields())), read: func(d *decoder, to *deploy, n *node, key string) {
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

// readDeployed reads a limit as the plain key is read, and keeps it until all files are read.
func readDeployed(plain string, read func(*decoder, *Profile, *node, string), value func(*Profile) float64) func(*decoder, *deploy, *node, string) {
	return func(d *decoder, _ *deploy, n *node, key string) {
		var p Profile
		before := d.report.added
		if read(d, &p, n, key); d.report.added > before {
			return
		}
		if d.deployed == nil {
			d.deployed = map[string]deployed{}
		}
		d.deployed[plain] = deployed{key: key, level: d.level, value: value(&p)}
	}
}

// finishDeploy gives the plain keys what deploy says. Both in one file have to say the same, as in compose; of files that extend each
// other the nearer one counts.
func (d *decoder) finishDeploy() {
	p := d.profile
	for plain, at := range map[string]*int64{"mem_limit": &p.MemLimit, "mem_reservation": &p.MemReservation, "pids_limit": &p.PidsLimit} {
		if v, counts := d.deploys(plain, float64(*at)); counts {
			*at = int64(v)
		}
	}
	for plain, at := range map[string]*float64{"cpus": &p.CPUs, "cpu_reservation": &p.CPUReservation} {
		if v, counts := d.deploys(plain, *at); counts {
			*at = v
		}
	}
	d.finishDeployedRestart()
}

func (d *decoder) finishDeployedRestart() {
	r := d.deployRestart
	if r == nil {
		return
	}
	pos, said := d.profile.Lines["restart"]
	switch {
	case r.condition == "any" && r.attempts > 0:
		d.badAt(d.profile.Lines[r.key], r.key, "write condition: on-failure, or remove max_attempts:", "only failures are counted")
	case said && d.levels["restart"] > r.level:
		return
	case said && d.levels["restart"] == r.level && d.profile.Restart != r.word():
		d.badAt(d.profile.Lines[r.key], r.key, "remove one of the two", "restart says something else, in line %d", pos.Line)
	}
	d.profile.Restart = r.word()
	d.profile.Lines["restart"] = d.profile.Lines[r.key]
}

func (d *decoder) deploys(plain string, have float64) (float64, bool) {
	from, said := d.deployed[plain]
	if !said {
		return 0, false
	}
	_, both := d.profile.Lines[plain]
	switch {
	case both && d.levels[plain] > from.level:
		return 0, false
	case both && d.levels[plain] == from.level && have != from.value:
		d.badAt(d.profile.Lines[from.key], from.key, "remove one of the two", "%s says another number, in line %d", plain, d.profile.Lines[plain].Line)
	}
	d.profile.Lines[plain] = d.profile.Lines[from.key]
	return from.value, true
}

// deployRemedies are for keys of deploy that have another word in a profile.
var deployRemedies = map[string]string{"labels": "use labels:", "generic_resources": "use devices:, or gpus:"}

func readDeploy(d *decoder, p *Profile, n *node, key string) {
	var to deploy
	if n.kind == mapping {
		d.notYetBelow(n, key)
	}
	if !readFields(d, &to, d.known(n), key, deployFields) {
		return
	}
	if to.restart != nil {
		d.deployRestart = to.restart
		d.mark(to.restart.key, n.pair("restart_policy").pos)
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

// composeDeploy are the keys of compose's deploy and its resources that are for swarms (compose-spec.json, "deployment"); docker
// compose passes over them.
var composeDeploy = []string{"endpoint_mode", "labels", "placement", "rollback_config", "update_config", "generic_resources"}

// notYetBelow reports them wherever they stand.
func (d *decoder) notYetBelow(n *node, key string) {
	for _, p := range n.pairs {
		switch {
		case contains(composeDeploy, p.key):
			at, remedy := join(key, p.key), deployRemedies[p.key]
			if remedy == "" {
				remedy = "remove it"
			}
			d.badAt(p.pos, at, remedy, "hostrun can't do this key of compose: it is for swarms")
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
