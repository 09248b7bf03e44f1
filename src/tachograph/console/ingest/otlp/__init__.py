"""OTLP/HTTP from any sender: protobuf and JSON become the same dictionaries, those become calls, spans and samples."""
