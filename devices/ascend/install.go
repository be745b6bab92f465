package ascend

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

const (
	installInfo   = "/etc/ascend_install.info"
	usualPlace    = "/usr/local/Ascend"
	usualDriver   = usualPlace + "/driver"
	usualFirmware = usualPlace + "/firmware"
)

// A Driver is the installed driver as its own files describe it.
type Driver struct {
	Directory string `json:"directory"`        // where the container finds it too
	Source    string `json:"source,omitempty"` // what named the directory: a file, "the usual place", "ascend.driver"
	Version   string `json:"version,omitempty"`
	// Inner is the vendor's internal version, V100R001C21SPC002B220. What stands behind its C is compared with CANN's.
	Inner      string   `json:"inner,omitempty"`
	Compatible []string `json:"compatible,omitempty"` // trains of CANN that fit, by the driver's own list: C17, C18
	// FirmwareRanges are the versions of firmware that fit, lowest and highest of each.
	FirmwareRanges [][2]string `json:"firmware_ranges,omitempty"`
	Firmware       string      `json:"firmware,omitempty"` // installed version
	// Status is Driver_Install_Status: "complete", "" in older drivers.
	Status string `json:"status,omitempty"`
	// Malformed says what is wrong with version.info, "" for nothing.
	Malformed string `json:"malformed,omitempty"`
}

// parseKeyValues reads KEY=VALUE lines as the vendor's installers write them. Keys come in lower case, for their writing varies;
// the first equals sign ends the key; comments begin with #.
func parseKeyValues(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		if _, twice := all[key]; !twice {
			all[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return all
}

var (
	innerVersion = pattern.New(`(?i)^V\d+R\d+(C\d+)`)
	trainInList  = pattern.New(`(?i)\[\s*V\d+R\d+(C\d+)[^\]]*\]`)
	rangeInList  = pattern.New(`\[\s*([^,\[\]\s]*)\s*,\s*([^,\[\]\s]*)\s*\]`)
)

// train is the C number of an internal version: "C21" of V100R001C21SPC002B220; "" of what is no such version.
func train(inner string) string {
	if m := innerVersion.FindStringSubmatch(strings.TrimSpace(inner)); m != nil {
		return strings.ToUpper(m[1])
	}
	return ""
}

// parseTrains reads a list of compatible versions: [V100R001C17],[V100R001C18].
func parseTrains(list string) []string {
	var all []string
	for _, m := range trainInList.FindAllStringSubmatch(list, 64) {
		all = append(all, strings.ToUpper(m[1]))
	}
	return all
}

func parseRanges(list string) [][2]string {
	var all [][2]string
	for _, m := range rangeInList.FindAllStringSubmatch(list, 64) {
		all = append(all, [2]string{m[1], m[2]})
	}
	return all
}

// readDriver describes the driver that lies in named, or where the installer says, or in the usual place.
func readDriver(view *rootfs.View, named string) Driver {
	info := parseKeyValues(text(view, installInfo))
	d := Driver{Directory: usualDriver, Source: "the usual place", Status: strings.ToLower(info["driver_install_status"])}
	switch base := info["driver_install_path_param"]; {
	case named != "":
		d.Directory, d.Source = path.Clean(named), "ascend.driver"
	case strings.HasPrefix(base, "/"):
		d.Directory, d.Source = path.Join(base, "driver"), installInfo
	}
	d.readVersion(view)
	firmware := usualFirmware
	if base := info["firmware_install_path_param"]; strings.HasPrefix(base, "/") {
		firmware = path.Join(base, "firmware")
	}
	d.Firmware = parseKeyValues(text(view, firmware+"/version.info"))["version"]
	return d
}

func (d *Driver) readVersion(view *rootfs.View) {
	b, err := view.ReadFile(path.Join(d.Directory, "version.info"), smallFile)
	if err != nil {
		d.Malformed = reason(err)
		return
	}
	values := parseKeyValues(string(b))
	d.Version, d.Inner = values["version"], values["innerversion"]
	if d.Version == "" {
		d.Version = values["package_version"]
	}
	d.Compatible = parseTrains(values["compatible_version"])
	d.FirmwareRanges = parseRanges(values["compatible_version_fw"])
	switch {
	case d.Version == "":
		d.Malformed = "it has no line Version="
	case d.Inner != "" && train(d.Inner) == "":
		d.Malformed = "Innerversion=" + d.Inner + " is not of the form V100R001C21"
	}
}

// trains are the driver's own and those that it lists as compatible.
func (d Driver) trains() []string {
	all := slices.Clone(d.Compatible)
	if t := train(d.Inner); t != "" && !slices.Contains(all, t) {
		all = append(all, t)
	}
	return all
}
