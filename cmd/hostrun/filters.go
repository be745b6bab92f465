package main

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// filters are docker's: of one key any value may hold, of several keys all must.
type filters map[string][]string

// filterStatuses are docker's words; hostrun has no others.
var filterStatuses = []string{"created", "running", "paused", "restarting", "exited", "dead", "removing"}

func readFilters(words, statuses []string) (filters, error) {
	f := filters{}
	for _, status := range statuses {
		words = append(words, "status="+status)
	}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok || value == "":
			return nil, finding.Errorf(finding.StatusUsage, "as in --filter status=exited", "flag --filter: %q is no KEY=VALUE", word)
		case !slices.Contains([]string{"status", "health", "name", "ancestor", "exited"}, key):
			return nil, finding.Errorf(finding.StatusUsage, "status, health, name, ancestor, exited", "flag --filter: there is no filter %q", key)
		case key == "status" && !slices.Contains(filterStatuses, value):
			return nil, finding.Errorf(finding.StatusUsage, strings.Join(filterStatuses[:5], ", "), "there is no status %q", value)
		case key == "exited":
			if _, err := strconv.Atoi(value); err != nil {
				return nil, finding.Errorf(finding.StatusUsage, "as in --filter exited=1", "flag --filter: %q is no exit status", value)
			}
		}
		f[key] = append(f[key], value)
	}
	return f, nil
}

func (f filters) hold(c runtime.Container) bool {
	for key, values := range f {
		if !slices.ContainsFunc(values, func(value string) bool { return holdsOf(c, key, value) }) {
			return false
		}
	}
	return true
}

func holdsOf(c runtime.Container, key, value string) bool {
	switch key {
	case "status":
		status := c.Status
		if c.RestartAt != nil && status != "running" && status != "paused" {
			status = "restarting"
		}
		return status == value || value == "exited" && status == "unknown"
	case "health":
		return c.Health == value || value == "none" && c.Health == ""
	case "name":
		return strings.Contains(c.Container, value)
	case "ancestor":
		image := familiar(c.Image)
		return image == value || c.Image == value || image == value+":latest" || path.Base(image) == value
	case "exited":
		return c.ExitStatus != nil && strconv.Itoa(*c.ExitStatus) == value
	}
	return false
}

// ofEnded says whether containers that do not run are asked for.
func (f filters) ofEnded() bool {
	return len(f["exited"]) > 0 || slices.ContainsFunc(f["status"], func(s string) bool { return s != "running" && s != "paused" })
}
