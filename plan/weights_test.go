package plan_test

import (
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// weights is every weight and limit beside cpus and mem_limit.
func weights() plan.Facts {
	f := simple()
	p := &f.Profile
	swappiness, score, mask := int64(0), -500, uint32(0o027)
	p.CPUShares, p.CPUPeriod, p.CPUQuota = 512, 50_000, 75_000
	p.MemLimit, p.MemReservation, p.MemSwapLimit = 8<<30, 2<<30, 12<<30
	p.MemSwappiness, p.OOMScoreAdj, p.Umask, p.OOMKillDisable = &swappiness, &score, &mask, true
	p.BlkIO = &profiles.BlkIO{Weight: 300,
		WeightDevice: []profiles.BlkIODevice{{Path: "/dev/sda", Rate: 400, Key: "blkio_config.weight_device[0]"}},
		ReadBps:      []profiles.BlkIODevice{{Path: "/dev/sda", Rate: 12 << 20, Key: "blkio_config.device_read_bps[0]"}},
		ReadIOps:     []profiles.BlkIODevice{{Path: "/dev/sda", Rate: 120, Key: "blkio_config.device_read_iops[0]"}},
		WriteBps:     []profiles.BlkIODevice{{Path: "/dev/sda", Rate: 1 << 20, Key: "blkio_config.device_write_bps[0]"}},
		WriteIOps:    []profiles.BlkIODevice{{Path: "/dev/gone", Rate: 30, Key: "blkio_config.device_write_iops[0]"}}}
	f.Blocks = []devices.Node{{Path: "/dev/sda", Destination: "/dev/sda", Type: "b", Major: 8}}
	p.DeviceRules = []profiles.DeviceRule{{Type: "c", Major: 1, Minor: 3, Access: "rm", Key: "device_cgroup_rules[0]"},
		{Type: "a", Major: 7, Minor: -1, Access: "rwm", Key: "device_cgroup_rules[1]"}, {Type: "b", Major: -1, Minor: -1, Access: "r", Key: "device_cgroup_rules[2]"}}
	for i, key := range []string{"cpu_shares", "cpu_period", "mem_reservation", "memswap_limit", "mem_swappiness", "oom_score_adj", "oom_kill_disable", "blkio_config", "device_cgroup_rules"} {
		p.Lines[key] = at(10 + i)
	}
	return f
}

func weightsInCgroup1() plan.Facts {
	f := weights()
	f.Host.CgroupVersion, f.Host.SwapAccounting = 1, true
	f.Profile.CPURTPeriod, f.Profile.CPURTRuntime, f.Profile.MemSwapLimit = 1400, 400, -1
	return f
}

// secretsAndConfigs has one of each kind.
func secretsAndConfigs() plan.Facts {
	f := simple()
	f.Profile.User = "app"
	text, uid, gid := "debug=true\n", uint32(103), uint32(104)
	f.Profile.Secrets = []profiles.Data{
		{Name: "token", Variable: "HF_TOKEN", Target: "/run/secrets/token", Mode: 0o400, Key: "secrets[0]"},
		{Name: "cert", File: "/srv/jobs/cert.pem", Target: "/etc/ssl/cert.pem", UID: &uid, GID: &gid, Mode: 0o440, Key: "secrets[1]"},
		{Name: "by_systemd", Credential: "by_systemd", Target: "/run/secrets/by_systemd", Mode: 0o444, Key: "secrets[2]"}}
	f.Profile.Configs = []profiles.Data{
		{Name: "app", Content: &text, Target: "/app", Mode: 0o555, Key: "configs[0]"},
		{Name: "http", File: "/srv/jobs/http.conf", Target: "/http", Mode: 0o444, Key: "configs[1]"}}
	f.Data = map[string]plan.DataSource{"secret-0": {Exists: true}, "secret-1": {Exists: true}, "secret-2": {Exists: true}, "config-1": {Exists: true}}
	for i, key := range []string{"secrets[0]", "secrets[1]", "secrets[2]", "configs[0]", "configs[1]"} {
		f.Profile.Lines[key] = at(4 + i)
	}
	return f
}

func hooks() plan.Facts {
	f := simple()
	f.Profile.PreStart = []profiles.Hook{{Command: command("./manage.py", "migrate"), Key: "pre_start[0]"}}
	f.Profile.PostStart = []profiles.Hook{{Command: command("/warm", "--up"), User: "root", Privileged: true, WorkingDir: "/work",
		Environment: []profiles.EnvVar{{Name: "A", Value: "1"}}, Key: "post_start[0]"}}
	f.Profile.PreStop = []profiles.Hook{{Command: command("/save"), Key: "pre_stop[0]"}}
	f.Profile.Lines["post_start[0]"], f.Profile.Lines["pre_stop[0]"] = at(5), at(9)
	return f
}

func volumesReadOnlyBelow() plan.Facts {
	f := simple()
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/srv/a", Target: "/a", ReadOnly: true, Recursive: "writable", Key: "volumes[0]"},
		{Type: "volume", Source: "models", Target: "/m", Subpath: "a/b", Key: "volumes[2]"},
		{Type: "bind", Source: "/srv/a", Target: "/b", ReadOnly: true, Recursive: "readonly", Relabel: true, Key: "volumes[1]"}}
	f.Sources = map[string]plan.Source{"/srv/a": {Exists: true, Dir: true}}
	f.Profile.Lines["volumes[1]"] = at(5)
	return f
}
