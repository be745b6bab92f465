//go:build !linux

package ld

import "os"

func adviseRandom(*os.File) {}
