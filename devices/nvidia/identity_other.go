//go:build !linux

package nvidia

import "io/fs"

// identity knows nothing where stat(2) is not Linux's.
func identity(fs.FileInfo) string { return "" }
