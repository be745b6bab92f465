package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"

	"hostrun.dev/hostrun/network"
)

// Heal sets again what others have taken from networks that are complete: rules (a restart of a firewall, `iptables -F`, `nft flush
// ruleset`), addresses in firewalld's zones, relays that were killed. It looks first, and changes nothing where all is there. healed
// is whether anything was missing.
func (k *Kernel) Heal(ctx context.Context) (healed bool, err error) {
	if all, err := k.Entries(); err != nil || !anyReady(all) {
		return false, err
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	all, err := k.Entries()
	if err != nil {
		return false, err
	}
	healed, err = healRules(ctx, all)
	for _, e := range all {
		if !e.Ready || e.Request.Mode != network.Bridge {
			continue
		}
		again, err2 := k.relayAgain(e)
		healed, err = healed || again, errors.Join(err, err2)
	}
	if firewalld("/") {
		err = errors.Join(err, trust(ctx, all))
	}
	return healed, err
}

func anyReady(all []network.Entry) bool {
	for _, e := range all {
		if e.Ready && e.Request.Mode == network.Bridge {
			return true
		}
	}
	return false
}

// healRules looks at each firewall once.
func healRules(ctx context.Context, all []network.Entry) (healed bool, err error) {
	var subnets []network.Subnet
	for _, e := range all {
		for _, l := range e.Links {
			if l.Bridged() {
				subnets = append(subnets, l.Subnets...)
			}
		}
	}
	for _, f := range firewalls(subnets) {
		changed, err2 := f.change(ctx, func(saved string) string {
			var missing []ruleChain
			for _, c := range f.of(wanted(all, f.v6), saved) {
				if !complete(saved, []ruleChain{c}) {
					missing = append(missing, c)
				}
			}
			return setting(saved, missing)
		})
		healed, err = healed || changed, errors.Join(err, err2)
	}
	for _, e := range all {
		if e.Ready && healed && len(e.Bindings) > 0 {
			err = errors.Join(err, forwardLoopback(e.Links[0].Bridge))
		}
	}
	return healed, err
}

// wanted are the chains of all networks and containers that are complete.
func wanted(all []network.Entry, v6 bool) []ruleChain {
	var chains []ruleChain
	seen := map[string]bool{}
	for _, e := range all {
		if !e.Ready {
			continue
		}
		for i, l := range e.Links {
			if !l.Bridged() || v6 && !slices.ContainsFunc(l.Subnets, hasIPv6) {
				continue
			}
			if !seen[l.Bridge] {
				seen[l.Bridge] = true
				chains = append(chains, networkChains(l, v6)...)
			}
			if i == 0 {
				chains = append(chains, portChains(e, v6)...)
			}
		}
	}
	return chains
}

func hasIPv6(s network.Subnet) bool { return strings.Contains(s.Subnet, ":") }

// relayAgain starts a relay that is no more.
func (k *Kernel) relayAgain(e network.Entry) (bool, error) {
	if len(e.Bindings) == 0 || k.relays(Key{e.Namespace, e.ID}) {
		return false, nil
	}
	h, err := k.hold(e)
	if err != nil || len(h.files) == 0 {
		return false, err
	}
	if err := k.serve(e, h); err != nil {
		return false, err
	}
	return true, nil
}
