package wire

// What a sled has to set up for a VMM beside the VM itself. The agent uses only
// part of it so far; all of it is checked, so that Nexus hears of a mistake when
// it makes it and not when the VMM starts.
var (
	localConfig = open(
		req("attached_subnets", listOf{of: open(req("kind", words{"vpc", "external"}), req("subnet", netText))}),
		req("delegated_zvols", listOf{of: delegatedZvol}),
		req("dhcp_config", open(
			req("dns_servers", listOf{of: ipText}),
			opt("host_domain", zoneText),
			req("search_domains", listOf{of: zoneText}),
		)),
		req("external_ips", open(
			opt("v4", externalIPs(ip4Text)),
			opt("v6", externalIPs(ip6Text)),
		)),
		req("firewall_rules", listOf{of: firewallRule}),
		req("hostname", hostText),
		req("multicast_groups", listOf{of: open(req("group_ip", ipText), req("sources", listOf{of: ipText}))}),
		req("nics", listOf{of: networkInterface}),
		opt("primary_nic_mtu", u32),
	)

	networkInterface = open(
		req("id", uuidText),
		req("ip_config", privateIPs),
		req("kind", tagged("type", map[string]record{
			"instance": open(req("id", uuidText)),
			"service":  open(req("id", uuidText)),
			"probe":    open(req("id", uuidText)),
		})),
		req("mac", macText),
		req("name", nameText),
		req("primary", truth{}),
		req("slot", u8),
		req("vni", u32),
	)

	privateIP4 = open(req("ip", ip4Text), req("subnet", net4Text), def("transit_ips", listOf{of: net4Text}))
	privateIP6 = open(req("ip", ip6Text), req("subnet", net6Text), req("transit_ips", listOf{of: net6Text}))
	privateIPs = tagged("type", map[string]record{
		"v4":         open(req("value", privateIP4)),
		"v6":         open(req("value", privateIP6)),
		"dual_stack": open(req("value", open(req("v4", privateIP4), req("v6", privateIP6)))),
	})

	firewallRule = open(
		req("action", words{"allow", "deny"}),
		req("direction", words{"inbound", "outbound"}),
		opt("filter_hosts", listOf{of: tagged("type", map[string]record{
			"ip":  open(req("value", netText)),
			"vpc": open(req("value", u32)),
		})}),
		opt("filter_ports", listOf{of: portText}),
		opt("filter_protocols", listOf{of: tagged("type", map[string]record{
			"tcp":   open(),
			"udp":   open(),
			"icmp":  open(opt("value", icmpFilter)),
			"icmp6": open(opt("value", icmpFilter)),
		})}),
		req("priority", u16),
		req("status", words{"disabled", "enabled"}),
		req("targets", listOf{of: networkInterface}),
	)

	icmpFilter = open(opt("code", icmpText), req("icmp_type", u8))

	delegatedZvol = tagged("type", map[string]record{
		zvolPlain:     open(req("zpool_id", uuidText), req("dataset_id", uuidText)),
		zvolEncrypted: open(req("zpool_id", uuidText), req("dataset_id", uuidText)),
	})
)

// The kinds of local storage that a zvol can be in.
const (
	zvolPlain     = "local_storage_unencrypted"
	zvolEncrypted = "local_storage_encrypted"
)

// externalIPs is the external addressing in one IP version.
func externalIPs(ip rule) record {
	return open(
		opt("ephemeral_ip", ip),
		req("floating_ips", listOf{of: ip}),
		opt("source_nat", open(req("first_port", u16), req("ip", ip), req("last_port", u16))),
	)
}
