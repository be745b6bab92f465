package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// This file finds the contents of secrets and configs.

// maxData bounds one of them, in bytes: they lie in memory that is never swapped out.
const maxData = 8 << 20

// lookForData says which contents can be had, and reads none.
func (s *session) lookForData(p *profiles.Profile, o order) map[string]plan.DataSource {
	var all map[string]plan.DataSource
	id := o.id
	if id == "" {
		id = p.Name
	}
	kept := plan.DataDirectory(s.abs(s.global.stateDir), s.global.namespace, id)
	plan.EachData(p, func(key, _ string, v profiles.Data) {
		if v.Content != nil {
			return
		}
		if all == nil {
			all = map[string]plan.DataSource{}
		}
		all[key] = s.dataSource(v)
		if o.again && !all[key].Exists && runtime.HasData(filepath.Join(kept, key)) {
			all[key] = plan.DataSource{Exists: true}
		}
	})
	return all
}

func (s *session) dataSource(v profiles.Data) plan.DataSource {
	if v.Variable != "" {
		_, set := s.env[v.Variable]
		return plan.DataSource{Exists: set}
	}
	path := v.File
	if path == "" {
		path = s.credential(v.Credential)
	}
	info, err := os.Stat(filepath.Join(s.root, path))
	switch {
	case path == "" || errors.Is(err, fs.ErrNotExist):
		return plan.DataSource{}
	case err != nil:
		return plan.DataSource{Error: err.Error()}
	case !info.Mode().IsRegular():
		return plan.DataSource{Error: "it is no regular file"}
	case info.Size() > maxData:
		return plan.DataSource{Error: fmt.Sprintf("it has %d bytes, and %d are the most", info.Size(), maxData)}
	}
	return plan.DataSource{Exists: true}
}

// credentialStores are where systemd looks for credentials that no unit was given (systemd.exec(5), ImportCredential=).
var credentialStores = []string{"/run/credstore", "/etc/credstore", "/usr/lib/credstore"}

// credential finds one: of the unit that this command is of, else of the machine; "" without one.
func (s *session) credential(name string) string {
	dirs := credentialStores
	if own := s.env["CREDENTIALS_DIRECTORY"]; filepath.IsAbs(own) {
		dirs = append([]string{own}, dirs...)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(s.root, dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// dataValues reads the contents, at the moment of a start. What can't be had any more is left to what an earlier start has kept.
func (s *session) dataValues(f plan.Facts) (map[string][]byte, error) {
	values := map[string][]byte{}
	id := f.ID
	if id == "" {
		id = f.Profile.Name
	}
	dir := plan.DataDirectory(f.Engine.StateDir, f.Engine.Namespace, id)
	var failed error
	plan.EachData(&f.Profile, func(key, kind string, v profiles.Data) {
		value, err := s.dataValue(v)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			failed = errors.Join(failed, finding.Errorf(finding.StatusNoPath, "hostrun explain "+finding.DataMissing, "read the %s %s from %s: %w", kind, v.Name, v.Describe(), err))
		default:
			values[filepath.Join(dir, key)] = value
		}
	})
	return values, failed
}

func (s *session) dataValue(v profiles.Data) ([]byte, error) {
	switch {
	case v.Content != nil:
		return []byte(*v.Content), nil
	case v.Variable != "":
		value, set := s.env[v.Variable]
		if !set {
			return nil, fs.ErrNotExist
		}
		return []byte(value), nil
	}
	path := v.File
	if path == "" {
		path = s.credential(v.Credential)
	}
	if path == "" {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(filepath.Join(s.root, path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxData+1))
	if err == nil && len(text) > maxData {
		err = fmt.Errorf("it has more than %d bytes", maxData)
	}
	return text, err
}
