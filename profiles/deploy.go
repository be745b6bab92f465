package profiles

import "strconv"

// deploy is compose's long way to say gpus, cpus, mem_limit, pids_limit and mem_reservation. Its other keys are none of a
// single container's.
type deploy struct {
	requests []Accelerator
	replicas *Replicas
	restarts bool
	restart  restartPolicy
}

// A restartPolicy is that of deploy, as docker compose takes it without a swarm (compose, getRestartPolicy).
type restartPolicy struct {
	condition   string
	maxAttempts int64
}

// restartConditions are the specification's, and those of restart: (compose, mapRestartPolicyCondition).
var restartConditions = []string{"none", "on-failure", "any", "no", "always", "unless-stopped"}

var restartPolicyFields = []field[restartPolicy]{
	{name: "condition", about: "none or no, on-failure, unless-stopped, any or always; without it there are no restarts", schema: enum(restartConditions...), read: func(d *decoder, to *restartPolicy, n *node, key string) {
		to.condition, _ = d.oneOf(n, key, restartConditions...)
	}},
	{name: "max_attempts", about: "restarts after a failure; without it there is no bound", schema: intSchema, read: func(d *decoder, to *restartPolicy, n *node, key string) {
		v, ok := d.integer(n, key)
		if ok && v < 0 {
			d.bad(n, key, "write a number from 0", "%d is no number of restarts", v)
			return
		}
		to.maxAttempts = v
	}},
}

// restartOf is what restart: would say.
func (d *decoder) restartOf(r restartPolicy, n *node, key string) string {
	switch {
	case r.condition == "none", r.condition == "no":
		return ""
	case r.condition == "on-failure" && r.maxAttempts > 0:
		return "on-failure:" + strconv.FormatInt(r.maxAttempts, 10)
	case r.condition == "on-failure":
		return "on-failure"
	case r.maxAttempts > 0:
		d.bad(n, key, "add condition: on-failure, or remove max_attempts:", "max_attempts is of condition: on-failure alone")
	case r.condition == "": // the specification says any; docker compose gives docker an empty policy, which is none
		return ""
	case r.condition == "unless-stopped":
		return "unless-stopped"
	}
	return "always"
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
	{name: "restart_policy", about: "compose's other place for restart, which it goes before", schema: schemaOf(restartPolicyFields), read: func(d *decoder, to *deploy, n *node, key string) {
		if readFields(d, &to.restart, n, key, restartPolicyFields) {
			to.restarts = true
		}
	}},
	{name: "replicas", about: "compose's other place for replicas", schema: replicaSchema, read: func(d *decoder, to *deploy, n *node, key string) {
		if r, ok := d.replicas(n, key); ok {
			to.replicas = &r
		}
	}},
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
	{name: "memory", about: "the same as mem_limit", schema: sizeSchema, read: readDeployed("mem_limit", readSizeLimit(func(p *Profile) *int64 { return &p.MemLimit }), func(p *Profile) float64 { return float64(p.MemLimit) })},
	{name: "pids", about: "the same as pids_limit", schema: intSchema, read: readDeployed("pids_limit", readPidsLimit, func(p *Profile) float64 { return float64(p.PidsLimit) })},
}

var reservationFields = []field[deploy]{
	{name: "cpus", about: "processors that the machine has to have", schema: object{"type": []string{"number", "string"}}, read: readDeployed("cpu_reservation", readCPUs, func(p *Profile) float64 { return p.CPUs })},
	{name: "memory", about: "the same as mem_reservation", schema: sizeSchema, read: readDeployed("mem_reservation", readSizeLimit(func(p *Profile) *int64 { return &p.MemLimit }), func(p *Profile) float64 { return float64(p.MemLimit) })},
	{name: "devices", about: "device requests, as under gpus", schema: listOf(schemaOf(acceleratorFields())), read: func(d *decoder, to *deploy, n *node, key string) {
		if n.kind != list {
			d.bad(n, key, "write a list: - {driver: nvidia, count: 1, capabilities: [gpu]}", "expected a list of device requests, got %s", n.describe())
			return
		}
		for i, item := range n.items {
			at := index(key, i)
			d.mark(at, item.pos)
			if to.requests = d.request(item, at, to.requests); len(item.pairs) > 0 && item.said("capabilities") == nil {
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
	d.finishRestart()
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
}

// A deployedRestart is what deploy says of restarts.
type deployedRestart struct {
	key   string
	level int
	value string
}

func (d *decoder) finishRestart() {
	p, from := d.profile, d.restart
	if from == nil {
		return
	}
	_, both := p.Lines["restart"]
	switch {
	case both && d.levels["restart"] > from.level:
		return
	case both && d.levels["restart"] == from.level && p.Restart != from.value:
		d.badAt(p.Lines[from.key], from.key, "remove one of the two", "restart: says something else, in line %d", p.Lines["restart"].Line)
	}
	p.Restart = from.value
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
	case both && d.levels[plain] == from.level && have != from.value && have != 0: // as compose, which takes 0 for not said on this side
		d.badAt(d.profile.Lines[from.key], from.key, "remove one of the two", "%s says another number, in line %d", plain, d.profile.Lines[plain].Line)
	}
	d.profile.Lines[plain] = d.profile.Lines[from.key]
	return from.value, true
}

// deployRemedies are for keys of deploy that have another word in a profile.
var deployRemedies = map[string]string{"labels": "use labels:", "endpoint_mode": ofSwarm, "mode": ofSwarm, "placement": ofSwarm, "rollback_config": ofSwarm, "update_config": ofSwarm, "delay": ofSwarm, "window": ofSwarm}

const ofSwarm = "remove it: it is for a swarm, and docker compose ignores it without one"

func readDeploy(d *decoder, p *Profile, n *node, key string) {
	var to deploy
	if n.empty() {
		return
	}
	if n.kind == mapping {
		d.notYetBelow(n, key)
	}
	if !readFields(d, &to, d.known(n), key, deployFields) {
		return
	}
	if to.replicas != nil {
		readReplicas(d, p, n.pair("replicas").value, join(key, "replicas"))
	}
	if to.restarts {
		at := n.pair("restart_policy").value
		d.restart = &deployedRestart{join(key, "restart_policy"), d.level, d.restartOf(to.restart, at, join(key, "restart_policy"))}
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
var composeDeploy = []string{"endpoint_mode", "labels", "mode", "placement", "rollback_config", "update_config", "generic_resources", "delay", "window"}

// notYetBelow reports them wherever they stand.
func (d *decoder) notYetBelow(n *node, key string) {
	for _, p := range n.pairs {
		switch {
		case p.value.empty():
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
