"""Amazon Bedrock: Converse and InvokeModel, whole and streamed."""
