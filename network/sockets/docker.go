package sockets

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"hostrun.dev/hostrun/network"
)

// dockerPatience bounds the question: it is asked for the words of an error alone.
const dockerPatience = 500 * time.Millisecond

// DockerContainer asks the local Docker, if there is one, which container publishes the binding's port or has that ID (Docker
// Engine API, GET /containers/json); "" if it does not say.
func DockerContainer(ctx context.Context, b network.Binding, id string) string {
	filter := fmt.Sprintf(`{"publish":["%d/%s"]}`, b.HostPort, b.Protocol)
	if id != "" {
		filter = fmt.Sprintf(`{"id":[%q]}`, id)
	}
	var found []struct{ Names []string }
	if askDocker(ctx, "/containers/json", filter, &found) != nil || len(found) == 0 || len(found[0].Names) == 0 {
		return ""
	}
	return strings.TrimPrefix(found[0].Names[0], "/")
}

// DockerNetwork is the name of Docker's network that the bridge belongs to; "" for none: docker0 is "bridge", br-1f2e... has an
// ID that begins so.
func DockerNetwork(ctx context.Context, bridge string) string {
	if bridge == "docker0" {
		return "bridge"
	}
	id, ok := strings.CutPrefix(bridge, "br-")
	if !ok {
		return ""
	}
	var found []struct{ Name string }
	if askDocker(ctx, "/networks", fmt.Sprintf(`{"id":[%q]}`, id), &found) != nil || len(found) == 0 {
		return ""
	}
	return found[0].Name
}

func askDocker(ctx context.Context, path, filter string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, dockerPatience)
	defer cancel()
	socket := "/var/run/docker.sock"
	if h, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		socket = h
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	u := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: url.Values{"filters": {filter}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask Docker: %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
