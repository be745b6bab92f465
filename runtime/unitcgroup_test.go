package runtime

import "testing"

func TestUnitCgroup(t *testing.T) {
	for text, want := range map[string][3]string{ // cgroup v2: path and unit; v1: unit
		"0::/hostrun.slice/hostrun@web.service\n":                                  {"/hostrun.slice/hostrun@web.service", "hostrun@web.service"},
		"0::/hostrun.slice/hostrun@my-model.service/supervisor\n":                  {"/hostrun.slice/hostrun@my-model.service", "hostrun@my-model.service"},
		"0::/user.slice/user-0.slice/user@0.service/app.slice/hostrun@x.service\n": {"/user.slice/user-0.slice/user@0.service/app.slice/hostrun@x.service", "hostrun@x.service"},
		"0::/user.slice/user-0.slice/session-1.scope\n":                            {},
		"0::/\n": {},
		"":       {},
		"12:pids:/hostrun.slice\n1:name=systemd:/hostrun.slice/hostrun@web.service\n0::/": {"", "", "hostrun@web.service"},
	} {
		if at, name := unitCgroup(text, true); at != want[0] || name != want[1] {
			t.Errorf("%q: %q %q", text, at, name)
		}
		if _, name := unitCgroup(text, false); name != want[2] {
			t.Errorf("%q with cgroup v1: %q", text, name)
		}
	}
}

func TestManagerOfAUnit(t *testing.T) {
	for at, want := range map[string]string{
		"/hostrun.slice/hostrun@web.service": "", "/user.slice/user-7.slice/user@7.service/app.slice/hostrun@web.service": "7",
		"/user.slice/user-7.slice/session-1.scope": "", "/user.slice/user-7.slice/user@7.service": "", "": "",
	} {
		if got := managerOf(at); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}
