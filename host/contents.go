package host

import (
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// ContentKey is how Contents names a package.
func ContentKey(p Package) string { return p.Site + "\x00" + Normalise(p.Name) + "\x00" + p.Version }

// Contents returns the first 12 digits of a SHA-256 over what each wheel has installed in the sites, by ContentKey: the paths and digests
// of its RECORD (PEP 376, PEP 627), without those that differ between two installations of one wheel. It is the same on every
// machine, and another one for another build of the same version. Packages whose RECORD has no digests are absent.
func Contents(view *rootfs.View, sites []Site) map[string]string {
	found := map[string]string{}
	for _, site := range sites {
		entries, err := view.ReadDir(site.Path)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !isDistribution(site.Path, e.Name()) {
				continue
			}
			record, err := view.ReadFile(path.Join(site.Path, e.Name(), "RECORD"), maxMetadata)
			if err != nil {
				continue
			}
			if digest := contentOf(string(record)); digest != "" {
				found[ContentKey(identify(view, site.Path, e.Name()))] = digest
			}
		}
	}
	return found
}

// identify is the name and the version that readDistributions finds, too.
func identify(view *rootfs.View, site, entry string) Package {
	p := Package{Site: site}
	p.Name, p.Version = splitDistName(entry)
	if b, err := view.ReadFile(path.Join(site, entry, "METADATA"), smallFile); err == nil && len(b) > 0 {
		if name, version := parseMetadata(b); name != "" {
			p.Name, p.Version = name, version
		}
	}
	return p
}

// contentOf is the digest of a RECORD; "" where it lists none. What installers write themselves (metadata, byte code, scripts outside,
// where an editable install leads to) is left out.
func contentOf(record string) string {
	r := csv.NewReader(strings.NewReader(record))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	var lines []string
	for {
		fields, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return ""
		}
		if len(fields) < 2 || fields[1] == "" {
			continue
		}
		p := path.Clean(fields[0])
		switch top, _, _ := strings.Cut(p, "/"); {
		case path.IsAbs(p), top == "..", strings.HasSuffix(top, ".dist-info"), strings.HasPrefix(top, "__editable__"), strings.HasSuffix(p, ".pyc"):
		default:
			lines = append(lines, p+" "+fields[1]+"\n")
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, ""))))[:12]
}
