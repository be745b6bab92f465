package profiles

// Schemas of values that several keys share.
var (
	textSchema   = object{"type": "string", "minLength": 1}
	boolSchema   = object{"type": []string{"boolean", "string"}}
	intSchema    = object{"type": []string{"integer", "string"}}
	sizeSchema   = object{"type": []string{"integer", "string"}, "description": "bytes, or with a unit: 512m, 16gb"}
	textsSchema  = object{"type": "array", "items": textSchema}
	oneOrMore    = object{"oneOf": []object{textSchema, textsSchema}}
	namedSchema  = object{"oneOf": []object{{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean", "null"}}}, {"type": "array", "items": textSchema}}}
	argvSchema   = object{"oneOf": []object{{"type": "null"}, {"type": "string"}, {"type": "array", "items": object{"type": "string"}}}}
	absentSchema = object{"not": object{}}
)

func listOf(items ...object) object {
	if len(items) == 1 {
		return object{"type": "array", "items": items[0]}
	}
	return object{"type": "array", "items": object{"oneOf": items}}
}

// enum also takes text with a variable, whose value an editor does not know.
func enum(words ...string) object {
	return object{"anyOf": []object{{"enum": words}, {"type": "string", "pattern": `\$`}}}
}

// profileFields is the table of a profile's keys: the decoder, the JSON Schema and the proposals for unknown keys all
// come from it.
func profileFields() []field[Profile] {
	var all []field[Profile]
	for _, group := range [][]field[Profile]{imageFields, processFields, mountFields, securityFields, limitFields, networkFields, lifeFields, replicaFields, tagFields, hostFields, acceleratorKeys, weightFields, isolationFields, dataKeys, hookKeys, loggingKeys, linkKeys} {
		all = append(all, group...)
	}
	return all
}

var imageFields = []field[Profile]{
	{name: "extends", about: "another profile to start from: its name, or its file", schema: extendsSchema, read: readNothing},
	{name: "name", about: "the profile's name; must be that of the file", schema: textSchema, read: readName},
	{name: "container_name", about: "the container's name; must be the profile's", schema: textSchema, read: readName},
	{name: "image", about: "the image, as docker names it", schema: textSchema, read: readImage},
	{name: "build", about: "how the image is made: the directory of a Dockerfile, or a mapping", schema: object{"oneOf": []object{textSchema, schemaOf(buildFields)}}, read: readBuild},
	{name: "rootfs", about: "host: no image; the root is made of this machine's own system directories", schema: enum("host"), read: readRootfs},
	{name: "platform", about: "os/arch[/variant] of the image; this machine's by default", schema: textSchema, read: readPlatform},
	{name: "pull_policy", about: "when to pull the image: always, missing (default), never, build, daily, weekly, every_12h", schema: object{"type": "string", "pattern": `^(always|missing|if_not_present|never|build|refresh|daily|weekly|every_([0-9]+[wdhms])+)$|\$`}, read: readPullPolicy},
	{name: "pull_refresh_after", about: "the age at which pull_policy: refresh pulls again; 24h", schema: textSchema, read: readPullRefresh},
	{name: "labels", about: "labels of the container", schema: namedSchema, read: readLabels},
	{name: "annotations", about: "annotations of the OCI spec", schema: namedSchema, read: readAnnotations},
}

var processFields = []field[Profile]{
	{name: "entrypoint", about: "replaces the image's ENTRYPOINT; text is split as a shell would, no shell runs", schema: argvSchema, read: readEntrypoint},
	{name: "command", about: "replaces the image's CMD; text is split as a shell would, no shell runs", schema: argvSchema, read: readCommand},
	{name: "working_dir", about: "directory in the container; the image's by default", schema: textSchema, read: readWorkingDir},
	{name: "user", about: "name or number, and a group: 1000:1000", schema: textSchema, read: readUser},
	{name: "group_add", about: "further groups, by name or number", schema: listOf(object{"type": []string{"string", "integer"}}), read: readGroupAdd},
	{name: "hostname", about: "the container's host name", schema: textSchema, read: readHostname},
	{name: "environment", about: "variables; a name without a value is taken from the caller's environment", schema: namedSchema, read: readEnvironment},
	{name: "env_file", about: "files of NAME=VALUE lines; environment goes before them", schema: object{"oneOf": []object{textSchema, listOf(textSchema, schemaOf(envFileFields))}}, read: readEnvFile},
	{name: "init", about: "a small init as PID 1 that reaps and passes signals on", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.Init })},
	{name: "tty", about: "a terminal", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.TTY })},
	{name: "stdin_open", about: "keep standard input open", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.StdinOpen })},
	{name: "stop_signal", about: "the signal that asks the process to end", schema: textSchema, read: readStopSignal},
	{name: "stop_grace_period", about: "how long it gets before SIGKILL: 1m30s", schema: textSchema, read: readGrace},
}

var mountFields = []field[Profile]{
	{name: "volumes", about: "directories and files of the host, named volumes, tmpfs: SOURCE:TARGET[:OPTIONS]", schema: listOf(textSchema, schemaOf(volumeFields)), read: readVolumes},
	{name: "tmpfs", about: "file systems in memory: /path[:size=1g,mode=1777]", schema: oneOrMore, read: readTmpfs},
	{name: "devices", about: "device nodes, or directories of them: SOURCE[:TARGET[:rwm]]; names of CDI devices: vendor/class=name", schema: listOf(textSchema, schemaOf(deviceFields)), read: readDevices},
	{name: "read_only", about: "the root file system is read-only; true by default with rootfs: host", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.ReadOnly })},
	{name: "shm_size", about: "size of /dev/shm; half of the memory by default", schema: sizeSchema, read: readSizeLimit(func(p *Profile) *int64 { return &p.ShmSize })},
}

var securityFields = []field[Profile]{
	{name: "cap_add", about: "capabilities to add: SYS_PTRACE, or ALL", schema: textsSchema, read: readCaps(func(p *Profile) *[]string { return &p.CapAdd })},
	{name: "cap_drop", about: "capabilities to take away", schema: textsSchema, read: readCaps(func(p *Profile) *[]string { return &p.CapDrop })},
	{name: "security_opt", about: "no-new-privileges[:BOOL], seccomp:unconfined, seccomp:multiarch, seccomp:FILE, systempaths=unconfined, apparmor:NAME, apparmor:unconfined, label:disable, label:type:NAME", schema: textsSchema, read: readSecurityOpt},
	{name: "runtime", about: "the OCI runtime: crun, runc, or its path; crun where it works on this machine, else runc; nvidia: GPUs as NVIDIA_VISIBLE_DEVICES says, else all", schema: textSchema, read: readRuntime},
	{name: "privileged", about: "all capabilities and devices, no seccomp: root on the host", schema: boolSchema, read: readBool(func(p *Profile) *bool { return &p.Privileged })},
}

var limitFields = []field[Profile]{
	{name: "ulimits", about: "resource limits of the process; -1 is unlimited", schema: object{"type": "object", "propertyNames": object{"enum": ulimitNames}, "additionalProperties": object{"oneOf": []object{intSchema, schemaOf(ulimitFields)}}}, read: readUlimits},
	{name: "cpus", about: "processors' worth of time: 1.5; 0 is no limit", schema: object{"type": []string{"number", "string"}}, read: readCPUs},
	{name: "cpuset", about: "processors to run on: 0-3,8", schema: textSchema, read: readCPUSet},
	{name: "mem_limit", about: "most memory, 0 for no limit; no swap beside it, unless memswap_limit says so", schema: sizeSchema, read: readSizeLimit(func(p *Profile) *int64 { return &p.MemLimit })},
	{name: "pids_limit", about: "most processes and threads; -1 and 0 are no limit", schema: intSchema, read: readPidsLimit},
	{name: "sysctls", about: "kernel parameters of the container's namespaces", schema: namedSchema, read: readSysctls},
}

var networkFields = []field[Profile]{
	{name: "network_mode", about: "host (default), none, bridge, or container:NAME to share another container's", schema: object{"type": "string", "pattern": `^(host|none|bridge|default|(container|service):.+)$|\$`}, read: readNetworkMode},
	{name: "networks", about: "bridge networks: a list of names, or a mapping of names to aliases, addresses, subnets", schema: object{"oneOf": []object{textsSchema, {"type": "object", "additionalProperties": object{"oneOf": []object{{"type": "null"}, schemaOf(networkKeys)}}}}}, read: readNetworks},
	{name: "ports", about: "ports of the host that lead to the container's: [ADDRESS:][HOST:]CONTAINER[/udp]", schema: listOf(object{"type": []string{"string", "integer"}}, schemaOf(portFields)), read: readPorts},
	{name: "expose", about: "ports for people to know of; networks need no such word", schema: listOf(object{"type": []string{"string", "integer"}}), read: readExpose},
	{name: "ipc", about: "private (default), host, none (without /dev/shm), or container:NAME to share another container's; each can be shared, shareable says so to people", schema: object{"type": "string", "pattern": `^(private|host|shareable|none|(container|service):.+)$|\$`}, read: readIPC},
	{name: "extra_hosts", about: "lines for /etc/hosts: NAME=ADDRESS", schema: object{"oneOf": []object{textsSchema, {"type": "object", "additionalProperties": oneOrMore}}}, read: readExtraHosts},
	{name: "dns", about: "name servers' addresses", schema: oneOrMore, read: readDNS},
	{name: "dns_search", about: "domains to look names up in", schema: oneOrMore, read: readDNSSearch},
	{name: "dns_opt", about: "options of resolv.conf(5): ndots:1", schema: textsSchema, read: readDNSOpt},
	{name: "domainname", about: "the container's domain", schema: textSchema, read: readDomainname},
	{name: "mac_address", about: "of the interface on the first network", schema: textSchema, read: readMAC},
}

var hostFields = []field[Profile]{
	{name: "python", about: "borrow the host's Python packages: auto, none, a path, or a mapping", schema: object{"oneOf": []object{textSchema, schemaOf(pythonFields)}}, read: readPython},
	{name: "cuda", about: "borrow the host's CUDA toolkit: auto, none, or a path", schema: textSchema, read: readCUDA},
}

func readNothing(*decoder, *Profile, *node, string) {}

func readBool(at func(*Profile) *bool) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, path string) {
		if b, ok := d.boolean(n, path); ok {
			*at(p) = b
		}
	}
}

func readSizeLimit(at func(*Profile) *int64) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, path string) {
		if size, ok := d.limit(n, path); ok {
			*at(p) = size
		}
	}
}
