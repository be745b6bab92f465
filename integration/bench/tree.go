package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The host environment that is borrowed: as many files as one with PyTorch, transformers and their company has.
const (
	treeFiles    = 30_000
	treePackages = 100
	treeNative   = 4 // extension modules a package
)

// makeTree makes a virtual environment of the distribution's Python at dir, fills it up to that many files in treePackages
// packages, each with its .dist-info, and returns its site directory.
func makeTree(dir, python string, files int) (string, error) {
	if _, _, err := (command{args: []string{python, "-m", "venv", "--without-pip", dir}, env: os.Environ()}).run(); err != nil {
		return "", err
	}
	sites, err := filepath.Glob(filepath.Join(dir, "lib", "python3.*", "site-packages"))
	if err != nil || len(sites) != 1 {
		return "", fmt.Errorf("find site-packages in %s: %v %v", dir, sites, err)
	}
	native, suffix, err := nativeModule(python)
	if err != nil {
		return "", err
	}
	for i := range treePackages {
		if err := makePackage(sites[0], fmt.Sprintf("pack%03d", i), native, suffix, files/treePackages); err != nil {
			return "", err
		}
	}
	return sites[0], nil
}

// nativeModule returns a real extension module of that Python, and what its kind of file name ends in.
func nativeModule(python string) (content []byte, suffix string, err error) {
	const ask = "import _json, sysconfig; print(_json.__file__); print(sysconfig.get_config_var('EXT_SUFFIX'))"
	_, out, err := (command{args: []string{python, "-c", ask}, env: os.Environ()}).run()
	if err != nil {
		return nil, "", err
	}
	file, suffix, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	content, err = os.ReadFile(file)
	return content, suffix, err
}

// makePackage writes one package of its share of the files: modules in directories of 50, extension modules, metadata.
func makePackage(site, name string, native []byte, suffix string, count int) error {
	const meta = 4
	files := map[string][]byte{}
	record := &strings.Builder{}
	for i := range count - treeNative - meta {
		files[fmt.Sprintf("%s/sub%d/module%d.py", name, i/50, i)] = []byte(strings.Repeat("# a line of a module\n", 50))
	}
	for i := range treeNative {
		files[fmt.Sprintf("%s/_native%d%s", name, i, suffix)] = native
	}
	for path := range files {
		fmt.Fprintf(record, "%s,,\n", path)
	}
	info := name + "-1.0.dist-info/"
	files[info+"METADATA"] = []byte("Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n")
	files[info+"WHEEL"] = []byte("Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
	files[info+"top_level.txt"] = []byte(name + "\n")
	files[info+"RECORD"] = []byte(record.String())
	for path, content := range files {
		full := filepath.Join(site, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
