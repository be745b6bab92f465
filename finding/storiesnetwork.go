package finding

import "maps"

func init() { maps.Copy(catalog, networkStories) }

var networkStories = map[string]Entry{
	PortTaken: {Title: "a port of the host is in use", ExitStatus: StatusTryAgain, Story: "" +
		"Two servers can't have one port: the second would end with \"Address already in use\", after its model has been loaded. With a bridge network the rule for the port would be set all the same, and take the connections away from the process that listens there.\n\n" +
		"End the process or the container that is named, or publish another port of the host: ports: [\"8081:80\"]."},
	NetworkTools: {Title: "what a bridge network needs is not installed", ExitStatus: StatusNoPath, Story: "" +
		"network_mode: bridge and networks: are made by CNI's standard plugins (bridge, macvlan or ipvlan, and host-local) and, those of bridges, by iptables. They are looked for in $CNI_PATH, /usr/lib/hostrun/cni, /opt/cni/bin, /usr/lib/cni and /usr/libexec/cni.\n\n" +
		"Debian and Ubuntu: apt-get install containernetworking-plugins iptables. Elsewhere: make cni builds the plugins. Or use the host's network, which needs neither."},
	SubnetTaken: {Title: "a network's subnet is taken", ExitStatus: StatusProfile, Story: "" +
		"Two networks of one machine with the same addresses: packets for one would go to the other, and which one depends on the order of the routes.\n\n" +
		"Give the network another subnet under ipam:, or none: then a free one of 10.210.0.0/15 is taken, the same each time."},
	PortsDiffer: {Title: "ports differ on both sides, with the host's network", ExitStatus: StatusProfile, Story: "" +
		"With network_mode: host, the default, the container's ports are the host's: nothing translates 8080 into 80, and the service would be reached at 80 alone.\n\n" +
		"Let the program listen at the host's port (GRADIO_SERVER_PORT, --port), or set network_mode: bridge."},
	NameServerLocal: {Title: "the host's name server can't be reached from a bridge network", ExitStatus: StatusMisfit, Story: "" +
		"/etc/resolv.conf of the host names a server at a loopback address, such as dnsmasq's 127.0.0.1. Inside of a network namespace that address is the container itself, and every look-up would end after its time. (For systemd-resolved hostrun takes the servers behind it.)\n\n" +
		"Name a server under dns:."},
	AddressTaken: {Title: "the container can't have that address", ExitStatus: StatusProfile, Story: "" +
		"ipv4_address or ipv6_address lies outside of the network's subnets, is the network's own, or another container's.\n\n" +
		"Choose another one, or none. A network whose containers have fixed addresses should have a fixed subnet too: ipam: {config: [{subnet: 10.5.0.0/24}]}."},
	NetworkDiffers: {Title: "one network, described in two ways", ExitStatus: StatusProfile, Story: "" +
		"A network is made by the first container on it, and others join it. This profile says something else about it than the one that has made it: another driver or parent, subnet, internal:, enable_ipv6: or MTU.\n\n" +
		"Say it in one profile alone or the same in all, and restart the containers on it together: a network goes with its last container."},
	PortFamily: {Title: "a port can't be published at that address", ExitStatus: StatusProfile, Story: "" +
		"ports: names an address that no interface of this machine has, or an IPv6 address, and the machine has IPv6 turned off: nobody could reach the port.\n\n" +
		"Write an address of this machine (ip address shows them), or none for all of them: ports: [\"8080:80\"]."},
	NetworkParent: {Title: "a network's parent is not to be had", ExitStatus: StatusProfile, Story: "" +
		"The containers of a network of driver macvlan or ipvlan are on the network of one of the host's interfaces, which driver_opts: {parent: eth0} names. That interface is not there, or serves the other of the two drivers already, which the kernel does not let be at once. docker makes an interface for a name like eth0.50, and one that leads nowhere where no parent is named; hostrun does neither.\n\n" +
		"Name an interface of this machine (ip link shows them). One of a VLAN is made by hand: ip link add link eth0 name eth0.50 type vlan id 50. A network without a way out is driver: bridge with internal: true."},
	HostUnreached: {Title: "the host can't be reached from the container", ExitStatus: StatusMisfit, Story: "" +
		"extra_hosts: [\"host.docker.internal:host-gateway\"] names the host, and all networks of the container are of driver macvlan or ipvlan: the kernel lets nothing pass between an interface and those that share it, so the container reaches the whole network but not its own host. The name stays without an address.\n\n" +
		"Put the container on a further network of driver bridge, where the host is the gateway."},
}
