"""What a deployer gets beside a build's files, and what comes back from the device."""
