package profiles

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// This file reads the probes of healthcheck that need no program in the image.

// loopback is where a probe looks without a host: services listen there, or everywhere.
const loopback = "127.0.0.1"

func readHTTP(d *decoder, h *Healthcheck, n *node, key string) {
	const remedy = "write a port or a URL: 8000, :8000/health, http://127.0.0.1:8000/health"
	if n.kind != scalar || n.tag != "int" && n.tag != "str" {
		d.bad(n, key, remedy, "expected a port or a URL, got %s", n.describe())
		return
	}
	text := n.text
	if _, err := strconv.Atoi(text); err == nil {
		text = ":" + text
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		d.bad(n, key, remedy, "%q is no URL of HTTP", abridged(n.text))
		return
	}
	if port := u.Port(); port != "" && !validPort(port) || port == "" && strings.HasSuffix(u.Host, ":") {
		d.bad(n, key, remedy, "%q: a port is a number from 1 to 65535", abridged(n.text))
		return
	}
	if u.Hostname() == "" {
		u.Host = loopback + ":" + u.Port()
	}
	if u.Path == "" {
		u.Path = "/"
	}
	h.HTTP = u.String()
}

func readTCP(d *decoder, h *Healthcheck, n *node, key string) {
	const remedy = "write a port, or host:port: 5432, 127.0.0.1:5432"
	if n.kind != scalar || n.tag != "int" && n.tag != "str" {
		d.bad(n, key, remedy, "expected a port, got %s", n.describe())
		return
	}
	text := n.text
	if _, err := strconv.Atoi(text); err == nil {
		text = ":" + text
	}
	u, err := url.Parse("tcp://" + text)
	if err != nil || !validPort(u.Port()) || u.User != nil || u.Path != "" || u.RawQuery != "" {
		d.bad(n, key, remedy, "%q is no port", abridged(n.text))
		return
	}
	if u.Hostname() == "" {
		u.Host = loopback + ":" + u.Port()
	}
	h.TCP = u.Host
}

func validPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

func readLogProbe(d *decoder, h *Healthcheck, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	if _, err := regexp.Compile(s); err != nil {
		d.bad(n, key, "write a regular expression: \"Uvicorn running on\", \"^ready\"", "%v", err)
		return
	}
	h.Log = s
}
