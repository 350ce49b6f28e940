package servertest

// Parts of the bodies below.
const (
	DiskID      = "f0a7c6d5-1b2c-4d3e-8f90-a1b2c3d4e5f6"
	MigrationID = "c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71"

	Crucible = `{"type":"crucible_storage_backend","component":{"readonly":false,"request_json":"{}"}}`
	NVMe     = `{"type":"nvme_disk","component":{"backend_id":"` + DiskID + `","has_write_cache":true,` +
		`"pci_path":{"bus":0,"device":16,"function":0},"serial_number":[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]}}`

	properties = `{"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e","name":"web01","description":"a VM","metadata":{` +
		`"silo_id":"001de000-5110-4000-8000-000000000000","project_id":"1f2f0f7c-9d2e-4c55-a3d6-6f3c7a1b9b11",` +
		`"sled_id":"b886b58a-1e3f-4be1-b9f2-0c2e66c6bc88","sled_serial":"S1","sled_revision":13,"sled_model":"M"}}`
	board = `{"chipset":{"type":"i440_fx","value":{"enable_pcie":false}},"cpus":2,"memory_mb":1024}`
	com1  = `{"type":"serial_port","component":{"num":"com1"}}`
)

// Bodies of PUT /instance.
const (
	ColdStart       = head + `"` + DiskID + `":` + Crucible + `,"disk":` + NVMe + `,"com1":` + com1 + tail
	MigrationTarget = `{"properties":` + properties + `,"init":{"method":"MigrationTarget","value":{"migration_id":"` +
		MigrationID + `","src_addr":"[fd00::7]:12400","replace_components":{"` + DiskID +
		`":{"component":"CrucibleStorageBackend","spec":{"readonly":false,"request_json":"{}"}}}}}}`

	head = `{"properties":` + properties + `,"init":{"method":"Spec","value":{"spec":{"board":` + board + `,"components":{`
	tail = `}}}}}`
)

// SpecWith returns the body of a cold start with these components.
func SpecWith(components string) string { return head + components + tail }
