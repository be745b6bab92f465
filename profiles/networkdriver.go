package profiles

import (
	"fmt"

	"hostrun.dev/hostrun/pattern"
)

// The modes are docker's, which are the kernel's (ip-link(8)), the default first.
var (
	macvlanModes = []string{"bridge", "private", "vepa", "passthru"}
	ipvlanModes  = []string{"l2", "l3", "l3s"}
)

// An interface's name is what the kernel lets it be (dev_valid_name), less the @ that ip(8) puts behind it.
var interfaceForm = pattern.New(`^[^/:@ \t]+$`)

// Mode is that of the network's driver; "" is the driver's default.
func (n Network) Mode() string {
	switch n.Driver {
	case "macvlan":
		return n.MacvlanMode
	case "ipvlan":
		return n.IpvlanMode
	}
	return ""
}

func readDriver(d *decoder, to *Network, n *node, key string) {
	switch n.text {
	case "host", "overlay", "none":
		d.notYetProblem(n.pos, key, "write bridge, or use network_mode: host", fmt.Sprintf("networks of driver %q", n.text))
		return
	}
	to.Driver, _ = d.oneOf(n, key, "bridge", "default", "macvlan", "ipvlan")
	if to.Driver == "bridge" || to.Driver == "default" {
		to.Driver = ""
	}
}

func readParent(d *decoder, to *Network, n *node, key string) {
	s, ok := d.text(n, key)
	if ok && (len(s) > 15 || s == "." || s == ".." || !interfaceForm.MatchString(s)) { // IFNAMSIZ
		d.bad(n, key, "write an interface of the host: eth0", "%q can't be the name of an interface", abridged(s))
		return
	}
	to.Parent = s
}

// finishDrivers refuses what a network's driver does not know. A stack may say one half, and a profile the other.
func (d *decoder) finishDrivers() {
	p := d.profile
	for _, n := range p.Networks {
		of := func(key, driver string) {
			d.badAt(d.place(join(n.Key, "driver_opts."+key), n.Key), n.Key, "add driver: "+driver+", or remove it", "%s is an option of networks of driver %s", key, driver)
		}
		if n.Parent != "" && n.Driver == "" {
			of("parent", "macvlan")
		}
		if n.MacvlanMode != "" && n.Driver != "macvlan" {
			of("macvlan_mode", "macvlan")
		}
		if n.IpvlanMode != "" && n.Driver != "ipvlan" {
			of("ipvlan_mode", "ipvlan")
		}
		if n.Driver == "ipvlan" && (n.MAC != "" || p.MACAddress != "" && len(p.Networks) == 1) {
			d.badAt(d.place(join(n.Key, "mac_address"), n.Key), n.Key, "remove mac_address:", "interfaces of driver ipvlan have the hardware address of their parent")
		}
	}
}
