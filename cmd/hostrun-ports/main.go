// Command hostrun-ports NAMESPACE/ID listens at the ports that a container publishes, as long as the container has its network.
// hostrun starts it with the sockets and an order on its standard input (package network/relay); the argument is for people and
// for those who look for who has a port.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"hostrun.dev/hostrun/network/relay"
)

func main() {
	debug.SetGCPercent(20) // one of them stands beside each container: memory counts
	if err := relay.Run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "hostrun-ports:", err)
		os.Exit(1)
	}
}
