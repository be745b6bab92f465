//go:build !linux

package devices

import "io/fs"

// number knows nothing where device numbers are not Linux's.
func number(fs.FileInfo) (Node, bool) { return Node{}, false }

// Numbers knows nothing where device numbers are not Linux's.
func Numbers(fs.FileInfo) (major, minor int64, ok bool) { return 0, 0, false }
