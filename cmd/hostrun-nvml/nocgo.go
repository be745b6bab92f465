//go:build !cgo

// Hostrun-nvml needs cgo to load NVIDIA's management library. Built without, it says so in the words of its protocol.
package main

import "fmt"

func main() {
	fmt.Println(`{"system":{"error":"hostrun-nvml was built without cgo: NVML can't be loaded"}}`)
}
