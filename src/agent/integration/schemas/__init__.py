"""The schema validator agent: JSON Schema, Avro and Protobuf; versions, compatibility, transformation between platforms, migration."""
